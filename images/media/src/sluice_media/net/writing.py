"""Writing to a connection that may be gone already."""

from __future__ import annotations

import asyncio
import errno
import os


def write(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write, or raise ConnectionResetError when the connection is gone.

    Without this asyncio drops what is written then, and uvloop raises a RuntimeError."""
    if writer.transport.is_closing():
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    writer.write(data)
