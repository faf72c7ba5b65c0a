"""Evaluation of detectors and of augmentation on held-out labels."""
