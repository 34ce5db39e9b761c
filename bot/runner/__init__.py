"""Runs jobs from acceptance to answer."""
