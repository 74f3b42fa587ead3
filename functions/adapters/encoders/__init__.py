"""Encoders: one file a product."""
