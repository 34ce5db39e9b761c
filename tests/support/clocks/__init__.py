"""Clocks of tests."""
