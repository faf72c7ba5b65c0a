"""Results as lines for a terminal, HTML pages and pictures; nothing is computed here."""
