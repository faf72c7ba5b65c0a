"""Evaluation of augmentation: synthetic images and their alternatives, on real test images."""
