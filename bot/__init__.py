"""The process that talks to Discord. Nothing in here imports torch."""
