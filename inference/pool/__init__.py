"""Several models in one worker: loads and unloads them under a memory budget."""
