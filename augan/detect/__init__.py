"""Anomaly detection: methods that score samples, and calibrations that set thresholds."""
