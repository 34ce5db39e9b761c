"""Fixtures and fakes that several tests use."""
