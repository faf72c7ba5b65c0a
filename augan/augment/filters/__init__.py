"""Filters of generated candidates: wrong class, implausible, memorized and duplicate samples."""
