"""Unit tests compute: none opens a socket to anything or starts a process.

Tests that need real sockets or processes are in tests/integration and tests/media.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

_FORBIDDEN = {"socket.bind", "socket.connect", "subprocess.Popen", "os.fork", "os.posix_spawn"}
_guard = {"on": False}


def _refuse(event: str, _arguments: tuple[object, ...]) -> None:
    if _guard["on"] and event in _FORBIDDEN:
        raise AssertionError(f"a unit test may not do this: {event}; see tests/integration")


sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def _pure() -> Iterator[None]:
    _guard["on"] = True
    yield
    _guard["on"] = False
