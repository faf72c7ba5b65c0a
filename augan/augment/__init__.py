"""Data augmentation with a trained generator: images or table rows of requested classes."""
