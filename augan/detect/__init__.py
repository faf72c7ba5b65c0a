"""Anomaly detection: methods that score, calibration that decides, evaluation that judges both."""
