"""Feature vectors of samples, from trained networks."""
