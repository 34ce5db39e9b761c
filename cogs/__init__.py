"""The commands, buttons and forms: one folder per feature, loaded as discord.py extensions."""
