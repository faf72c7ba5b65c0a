"""Stages of a training, one file each, registered in `augan.training.stages.base.STAGES`."""
