"""Evaluation of augmentation: whether synthetic images improve a classifier on real test images."""
