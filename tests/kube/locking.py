"""One run at a time: file locks for what two invocations must not do at once."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kube.console import say

__all__ = ["exclusive"]


@contextmanager
def exclusive(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock file ``path``; says so when another run holds it, and waits for it.

    The kernel drops the lock with the process, so a killed run never leaves it behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another run is busy ({purpose}); waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
