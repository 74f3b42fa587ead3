"""Vector stores: one file a product."""
