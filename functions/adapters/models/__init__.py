"""Language models: one file a protocol, and what they share."""
