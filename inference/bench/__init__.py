"""The benchmark: `python -m inference.bench`."""
