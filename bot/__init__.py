"""The process that talks to Discord. Nothing in here imports torch."""

PROJECT_URL = "https://github.com/redraw-bot/redraw"
"""The project's home page. Web servers see it in the User-Agent header."""
