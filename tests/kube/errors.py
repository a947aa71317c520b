"""The error of the tool: a sentence for the person at the terminal."""

from __future__ import annotations

__all__ = ["KubeToolError"]


class KubeToolError(Exception):
    """A failure that needs a person. The text has the cause and the remedy."""
