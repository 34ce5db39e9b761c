"""The durable store: jobs in SQLite, pictures as files."""
