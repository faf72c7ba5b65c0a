"""Features of samples, from trained networks."""
