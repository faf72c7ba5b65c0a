"""Stages of a training, one file each, and their registry."""
