"""Builders of the generated benchmark tables, one module for each kind of benchmark."""
