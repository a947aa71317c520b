"""Ports for servers that are started later, or never, or again.

After a test has closed a port that the kernel chose (``bind`` to 0), the kernel may give that port
to a test in another worker, or to any connection. The ports of this module are outside of the
kernel's range, and each process has its own block.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import TextIO

__all__ = ["free_port", "free_udp_port", "wait_listening"]

FIRST_PORT, LAST_PORT = 20_000, 29_999
"""Range above the well-known ports, and below the NodePorts of a cluster and the kernel's range."""
BLOCK_PORTS = 100
LISTEN_SECONDS = 60.0


def free_port(host: str = "127.0.0.1", kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a free port. It is returned again only after 99 other ports."""
    _, ports = _block()
    for _ in range(BLOCK_PORTS):
        port = next(ports)
        with socket.socket(_family(host), kind) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port of {host} is free in this process's block")


def free_udp_port(host: str = "127.0.0.1") -> int:
    return free_port(host, socket.SOCK_DGRAM)


def wait_listening(host: str, port: int, running: Callable[[], bool] = lambda: True) -> None:
    """Wait until the port can be dialled. Fail after a minute, or when its server is not
    ``running`` any more."""
    deadline = time.monotonic() + LISTEN_SECONDS
    while time.monotonic() < deadline and running():
        try:
            socket.create_connection((host, port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"nobody listens at {host}, port {port}")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@cache
def _block() -> tuple[TextIO, Iterator[int]]:
    """Return the lock, which must be held until the process ends, and the endless cycle of the
    block's ports."""
    folder = Path(tempfile.gettempdir()) / f"sluice-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    blocks = list(range(FIRST_PORT, LAST_PORT + 1, BLOCK_PORTS))
    random.SystemRandom().shuffle(blocks)
    for first in blocks:
        lock = (folder / str(first)).open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return lock, cycle(range(first, first + BLOCK_PORTS))
    raise AssertionError("all blocks of ports are in use by other processes")
