"""Actions over HTTP: which ones a stack declares, where they may reach, and the one call of each effect."""
