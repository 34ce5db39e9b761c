"""Delivers each job's answer to Discord exactly once."""
