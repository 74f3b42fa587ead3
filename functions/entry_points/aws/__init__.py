"""The handlers of the functions on AWS, one a file, and what they are put together from."""
