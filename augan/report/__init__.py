"""Results as pictures and sentences; nothing is computed here."""
