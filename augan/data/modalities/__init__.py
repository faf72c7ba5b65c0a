"""Modalities of samples: images, large images cut into tiles, and rows of tables."""
