"""One process that runs everything."""
