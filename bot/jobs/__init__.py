"""What a job is, and the order in which waiting jobs run."""
