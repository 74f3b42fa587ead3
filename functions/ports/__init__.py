"""What the runtime and the agents ask of the world."""
