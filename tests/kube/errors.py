"""The one error of the tool: a sentence for the person at the terminal."""

from __future__ import annotations

__all__ = ["KubeToolError"]


class KubeToolError(Exception):
    """Something a person has to act on. The text says what happened and what to do."""
