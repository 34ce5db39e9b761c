"""From a user's request, made with any command or button, to an accepted job."""
