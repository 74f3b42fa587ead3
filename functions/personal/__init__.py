"""Personal data in texts: what it looks like, and the tokens that take its place."""
