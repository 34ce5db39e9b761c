"""Sends each job's answer to Discord exactly once."""
