"""Finds the pictures of a request, downloads them, and stores them verified."""
