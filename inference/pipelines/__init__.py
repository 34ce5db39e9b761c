"""Pipelines: loading, devices, schedulers, compilation, and random weights for tests."""
