"""A small Discord on loopback: real HTTP, a real gateway, and the published rules it checks."""
