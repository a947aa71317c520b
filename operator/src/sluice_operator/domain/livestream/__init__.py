"""Decisions about a LiveStream."""
