"""What several cogs use: access rules, job buttons, the job renderer and the errors."""
