"""Pictures of detection results: anomaly maps, overlays and the most anomalous samples."""
