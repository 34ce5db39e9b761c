"""Jobs: what they are, their order, their limits and their estimated finish times."""
