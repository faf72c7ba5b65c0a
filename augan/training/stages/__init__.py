"""Stages of a training, one file each; `augan.training.train` registers them."""
