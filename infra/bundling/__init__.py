"""What a function is deployed as: which packages it needs, their wheels, and zips that are the same on any machine."""
