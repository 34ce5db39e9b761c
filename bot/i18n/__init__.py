"""What users read, in every language that the bot speaks."""
