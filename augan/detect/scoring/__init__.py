"""Building blocks of anomaly scores, shared by several detection methods."""
