"""User-visible texts in every supported language."""
