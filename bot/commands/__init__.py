"""The command tree: errors, publishing, and where commands may be used."""
