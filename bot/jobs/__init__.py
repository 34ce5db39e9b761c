"""Accepted work: stored durably, ordered fairly, run, and answered exactly once."""
