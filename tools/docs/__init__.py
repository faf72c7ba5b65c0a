"""Generators of documentation pages, tables and figures."""
