"""Training workflow: from a dataset to a saved bundle in a run folder."""
