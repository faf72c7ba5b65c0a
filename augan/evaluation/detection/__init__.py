"""Evaluation of detection: metrics of a detector and of baselines on labeled test samples."""
