"""Faults of the disk on which the recorder keeps its spool, and the wait for their end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path

from sluice_media.contract import SpoolReason

PROBE_SECONDS = 1.0
PROBE_BYTES = 1 << 20
_FAULTS = {
    errno.ENOSPC: (SpoolReason.NO_SPACE, "the recorder's own disk is full"),
    errno.EDQUOT: (SpoolReason.NO_SPACE, "the quota of the recorder's own disk is used up"),
    errno.EIO: (
        SpoolReason.INPUT_OUTPUT_ERROR,
        "the recorder's own disk reports an input/output error",
    ),
    errno.EROFS: (SpoolReason.READ_ONLY, "the recorder's own disk is mounted read-only"),
}


@dataclass(slots=True, frozen=True)
class SpoolFault:
    """A fault of the spool's disk: a reason, and a message for the status."""

    reason: SpoolReason
    message: str

    def __str__(self) -> str:
        return self.message

    @classmethod
    def of(cls, error: BaseException) -> SpoolFault:
        """Return the fault of an OSError, or of the first one in a group."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        number = error.errno if isinstance(error, OSError) else None
        unknown = (SpoolReason.FAILED, "the recorder's own disk cannot be written")
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
