"""How each target answers the ports."""
