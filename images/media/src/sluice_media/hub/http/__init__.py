"""The HTTP endpoints of the hub."""
