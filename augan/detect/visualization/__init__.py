"""Pictures of detections: calibrated anomaly maps, overlays and the most anomalous samples."""
