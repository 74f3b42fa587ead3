"""What runs: the same files on every cloud and on one machine."""
