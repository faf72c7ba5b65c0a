"""Whether synthetic images help a classifier on real held-out images, beside what else might."""
