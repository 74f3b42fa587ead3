"""What declares Troupe on a cloud."""
