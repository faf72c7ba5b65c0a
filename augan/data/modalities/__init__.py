"""Modalities of samples: images, large images in tiles, rows of tables."""
