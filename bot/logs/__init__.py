"""Logging to the terminal as text or JSON, without secrets or users' data."""
