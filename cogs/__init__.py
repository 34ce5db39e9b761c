"""What people type and click: one folder or file a feature, loaded as discord.py extensions."""
