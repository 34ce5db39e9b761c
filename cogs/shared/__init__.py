"""Job buttons, the job renderer and other code that several cogs use."""
