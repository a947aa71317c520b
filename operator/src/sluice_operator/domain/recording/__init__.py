"""Decisions about a Recording."""
