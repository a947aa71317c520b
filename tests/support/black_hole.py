"""A TCP port that drops every SYN: what dials it gets no answer at all."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

__all__ = ["black_hole"]

_WAITING = 4
"""More than a listener with a backlog of 0 takes: Linux drops the SYNs that come after them."""


@contextlib.contextmanager
def black_hole(host: str, port: int = 0) -> Iterator[int]:
    """The port, for as long as the context lasts."""
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
