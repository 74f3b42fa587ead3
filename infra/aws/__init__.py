"""Troupe on AWS."""
