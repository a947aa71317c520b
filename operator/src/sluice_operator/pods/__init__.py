"""Clients of the media pods: status polls, and requests to the store."""
