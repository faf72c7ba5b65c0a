"""Conformal calibration of anomaly scores: p-values, decisions at guaranteed rates, drift test."""
