"""The HTTP API: plain functions from a request to a reply, the same on every target."""
