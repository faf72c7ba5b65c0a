"""Measures of generated images: distances between feature vectors, in plain NumPy."""
