"""Results as HTML: one file each, in one style, that needs nothing else."""
