"""Backups of the data folder in one file, made while the bot runs, and their restoration."""
