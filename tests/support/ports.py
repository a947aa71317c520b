"""Ports for servers that are started later, or never, or again.

A port that the kernel chose (``bind`` to 0) and that was closed again may be the next one that it
gives to somebody else: to a test in another worker, or as the local port of any connection. These
are outside of the range the kernel chooses from, and each process has a block of its own.
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
"""Above what is well known; below the NodePorts of a cluster and the kernel's own choice."""
BLOCK_PORTS = 100
LISTEN_SECONDS = 60.0


def free_port(host: str = "127.0.0.1", kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port at which nobody listens, and which nobody else is given before 99 others were."""
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
    """Waits until the port can be dialled. Fails after a minute, and as soon as its server is not
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
    """The lock, to be held as long as the process lives, and the block's ports in turn."""
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
