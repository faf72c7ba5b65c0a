"""From scores to decisions: what is promised of false alarms, and when the promise is broken."""
