"""Faults of the disk on which the recorder keeps its spool, and the wait for their end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path

PROBE_SECONDS = 1.0
PROBE_BYTES = 1 << 20
_FAULTS = {
    errno.ENOSPC: ("SpoolNoSpace", "the recorder's own disk is full"),
    errno.EDQUOT: ("SpoolNoSpace", "the quota of the recorder's own disk is used up"),
    errno.EIO: ("SpoolInputOutputError", "the recorder's own disk reports an input/output error"),
    errno.EROFS: ("SpoolReadOnly", "the recorder's own disk is mounted read-only"),
}


@dataclass(slots=True, frozen=True)
class SpoolFault:
    """A fault of the spool's disk: a reason in one word, and a message for the status."""

    reason: str
    message: str

    def __str__(self) -> str:
        return self.message

    @classmethod
    def of(cls, error: BaseException) -> SpoolFault:
        """Return the fault of an OSError, or of the first one in a group."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        number = error.errno if isinstance(error, OSError) else None
        unknown = ("SpoolFailed", "the recorder's own disk cannot be written")
        return cls(*_FAULTS.get(number or 0, unknown))


def held_bytes(folder: Path) -> int:
    """Return the size of all chunks in the folders of attempts."""
    total = 0
    for chunk in folder.glob("*/*.ts"):
        with contextlib.suppress(OSError):
            total += chunk.stat().st_size
    return total


async def wait_for_spool(folder: Path) -> None:
    """Wait until 1 MiB can be written to the disk."""
    while True:
        if await asyncio.to_thread(_takes, folder / ".probe"):
            return
        await asyncio.sleep(PROBE_SECONDS)


def _takes(probe: Path) -> bool:
    try:
        try:
            with probe.open("wb") as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except OSError:
        return False
    return True
