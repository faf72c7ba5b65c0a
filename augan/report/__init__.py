"""Presentation of results, as text for a terminal and as HTML pages; nothing is computed here."""
