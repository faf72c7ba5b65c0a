"""Training from a dataset to a saved bundle."""
