"""The worker process and the supervisor that starts, watches and replaces it."""
