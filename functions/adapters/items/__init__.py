"""State, requests and conversations over the `Items` port: the same on every cloud."""
