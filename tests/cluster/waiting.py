"""A wait for what is true sooner or later."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(is_true: Callable[[], object], why: str, seconds: float = 40) -> None:
    """Wait until ``is_true()``. After ``seconds``, fail with ``why``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_true():
            return
        time.sleep(0.2)
    raise AssertionError(why)
