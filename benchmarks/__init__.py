"""Benchmarks: `python -m benchmarks.<name>`; their results are dated files beside them."""
