"""Detection methods that turn trained networks into anomaly scores, one file for each."""
