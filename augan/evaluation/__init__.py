"""Evaluation of detectors and of augmentation on labeled test data."""
