"""The clock of the operator. It is passed to every part, so that tests control the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Timer(Protocol):
    """A callback that waits for its time."""

    def cancel(self) -> None:
        """Cancel the callback."""


class Clock(Protocol):
    """Source of time, and of waiting."""

    def now(self) -> datetime:
        """Return the time of day (UTC), for timestamps."""

    def monotonic(self) -> float:
        """Return seconds that never go back, for durations."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call the callback after this time."""

    async def sleep(self, seconds: float) -> None:
        """Wait for this time."""


class SystemClock:
    """The clock of the system. ``call_later`` needs a running event loop."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
