"""A fake Hugging Face hub and the repositories on it."""
