"""What a stack is made of: a file for each concept, with what it takes and what others need of it.

The folder of each cloud has the same files, with the components themselves.
"""
