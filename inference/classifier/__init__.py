"""Scores pictures for explicit content, in a child process of its own beside the worker."""
