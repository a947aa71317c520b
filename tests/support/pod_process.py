"""The process of a pod on this machine, for tests that send it signals."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["process_of"]


def process_of(pod_uid: str) -> int:
    """Return the pid of the first process in that pod. Raises AssertionError when it runs on
    another machine, as with kind."""
    wanted = f"POD_UID={pod_uid}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    return int(folder.name)
    raise AssertionError("the pod runs elsewhere")
