"""Metrics in plain NumPy: fidelity of generated images, and confidence intervals of comparisons."""
