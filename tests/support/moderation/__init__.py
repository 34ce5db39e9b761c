"""Moderation for tests: with scores on demand, its pictures, and a moderated server."""
