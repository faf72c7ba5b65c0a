"""Anomaly detection with trained GANs: scores, calibrated decisions and anomaly maps."""
