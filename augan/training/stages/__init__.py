"""Stages of a training, one file each; `augan.training.stage_registry` registers them."""
