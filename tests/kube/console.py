"""Progress lines on standard error. Standard output is for results only.

Tasks that run at the same time share one status line. On a terminal, the line is rewritten each
second. In a log, a new line is written every half minute.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

__all__ = ["Board", "bar", "board", "say", "step", "time_left"]

_BAR_WIDTH = 20
_REFRESH_SECONDS = 1.0
_LOG_SECONDS = 30.0
_CLEAR = "\r\x1b[K"


def bar(share: float) -> str:
    """Return a bar and its percentage; ``share`` is from 0 to 1."""
    done = round(_BAR_WIDTH * min(1.0, max(0.0, share)))
    return f"[{'#' * done}{'.' * (_BAR_WIDTH - done)}] {100 * min(1.0, max(0.0, share)):3.0f} %"


def time_left(share: float, elapsed_seconds: float) -> str:
    """Return the remaining time at the present rate, as text; empty before the rate is known."""
    if share < 0.02 or elapsed_seconds < 5:
        return ""
    seconds = elapsed_seconds * (1 - share) / share
    if seconds < 60:
        return "less than a minute left"
    return f"about {seconds / 60:.0f} min left"


@dataclass(slots=True)
class Board:
    """The status line, with one text for each running task."""

    stream: TextIO | None = None
    """Stream for the line; None: the present standard error."""
    terminal: bool = False
    _texts: dict[str, str] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _shown: bool = False
    _going: int = 0

    def say(self, text: str) -> None:
        """Print one line at once, above the status line."""
        with self._lock:
            self._clear()
            print(text, file=self._out, flush=True)
            self._draw()

    def put(self, name: str, text: str) -> None:
        """Set the text of a task."""
        with self._lock:
            self._texts[name] = text

    def drop(self, name: str) -> None:
        """Remove a task that has ended."""
        with self._lock:
            self._texts.pop(name, None)

    @contextmanager
    def going(self) -> Iterator[None]:
        """Keep the status line up to date until the end of the block; blocks may be nested."""
        with self._lock:
            self._going += 1
            first = self._going == 1
        try:
            if first:
                with self._refreshing():
                    yield
            else:
                yield
        finally:
            with self._lock:
                self._going -= 1

    @contextmanager
    def _refreshing(self) -> Iterator[None]:
        ended = threading.Event()
        pause = _REFRESH_SECONDS if self.terminal else _LOG_SECONDS

        def refresh() -> None:
            while not ended.wait(pause):
                self.refresh()

        thread = threading.Thread(target=refresh, name="status line", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            with self._lock:
                self._clear()

    def refresh(self) -> None:
        """Write the status line again."""
        with self._lock:
            self._clear()
            if self.terminal:
                self._draw()
            elif self._texts:
                print(self._line(), file=self._out, flush=True)

    @property
    def _out(self) -> TextIO:
        return self.stream or sys.stderr

    def _line(self) -> str:
        return "; ".join(f"{name}: {text}" for name, text in self._texts.items())

    def _draw(self) -> None:
        if self.terminal and self._texts:
            width = shutil.get_terminal_size().columns - 1
            self._out.write(self._line()[:width])
            self._out.flush()
            self._shown = True

    def _clear(self) -> None:
        if self._shown:
            self._out.write(_CLEAR)
            self._shown = False


board = Board(terminal=sys.stderr.isatty())


def say(text: str) -> None:
    """Print one line and flush it, because people read a build log while it grows."""
    board.say(text)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Print the start of a task and, at its end, its duration in seconds."""
    say(f"{text} …")
    started = time.monotonic()
    yield
    say(f"{text}: done in {time.monotonic() - started:.1f} s")
