"""Verified pictures, and the image files made from them."""
