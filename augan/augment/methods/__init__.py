"""Augmentation methods, one file each: they generate the candidates that the filters judge."""
