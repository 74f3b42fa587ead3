"""From a signature to a delivery: what every agent runs on."""
