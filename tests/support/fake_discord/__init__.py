"""A fake Discord on loopback: real HTTP, a real gateway, and checks of the published rules."""
