"""Kinds of samples: whole images, images in tiles, rows of a table."""
