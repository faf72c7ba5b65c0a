"""Feature extractors: functions from samples to vectors that metrics and detectors compare."""
