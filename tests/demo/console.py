"""Progress for people: one line a step, with the seconds it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["DemoError", "say", "step"]


class DemoError(Exception):
    """What went wrong and what to do, in one sentence."""


def say(text: str = "") -> None:
    print(text, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Prints the title at once and the time it took at the end."""
    tty = sys.stdout.isatty()
    print(f"• {title} …", end="" if tty else "\n", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print(" failed" if tty else f"  {title}: failed", flush=True)
        raise
    seconds = time.monotonic() - started
    print(f" {seconds:.1f} s" if tty else f"  {title}: {seconds:.1f} s", flush=True)
