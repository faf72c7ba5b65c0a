"""Conformal calibration: p-values, decisions at guaranteed rates, and a test for drift."""
