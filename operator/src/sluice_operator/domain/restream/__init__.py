"""Decisions about a Restream."""
