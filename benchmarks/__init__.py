"""Measurements behind the claims about augan; `docs/benchmarks/` has the results."""
