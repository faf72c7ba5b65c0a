"""Augmentation methods: candidates from random noise, or from latent codes of real samples."""
