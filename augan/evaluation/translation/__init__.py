"""Evaluation of translation: whether images translated to a new camera improve a classifier."""
