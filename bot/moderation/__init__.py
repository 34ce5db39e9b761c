"""Decides what may be asked for and what may be shown: users, prompts and pictures."""
