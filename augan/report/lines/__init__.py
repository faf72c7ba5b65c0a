"""Results as lines for a person at a terminal."""
