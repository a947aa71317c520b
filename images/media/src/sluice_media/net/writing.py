"""Write to a connection that may be closed already."""

from __future__ import annotations

import asyncio
import errno
import os


def write(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write, or raise ConnectionResetError when the connection is closed.

    A plain write to a closed connection is dropped by asyncio, and is a RuntimeError in uvloop.
    """
    if writer.transport.is_closing():
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    writer.write(data)
