"""A TCP port that drops every SYN, so that a client gets no answer."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

__all__ = ["black_hole"]

_WAITING = 4
"""Number of connections that fill a listener with a backlog of 0. Linux drops all later SYNs."""


@contextlib.contextmanager
def black_hole(host: str, port: int = 0) -> Iterator[int]:
    """Yield the port, which drops SYNs while the context lasts."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(_WAITING):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield int(listener.getsockname()[1])
