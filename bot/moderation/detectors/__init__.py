"""What recognises unwanted content: the image classifier, the picture hash, the prompt rules."""
