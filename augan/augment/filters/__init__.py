"""Filters: the decision which candidates are written."""
