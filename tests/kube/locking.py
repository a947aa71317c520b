"""File locks for actions that two runs of the tool must not do at the same time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kube.console import say

__all__ = ["exclusive"]


@contextmanager
def exclusive(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock file ``path``. If another run holds it, print a message and wait.

    The kernel releases the lock when the process ends, so a killed run leaves no lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another run is busy ({purpose}); waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
