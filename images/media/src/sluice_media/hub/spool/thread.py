"""Threads for a disk that may stand still: what they do blocks nobody else.

The loop's own executor is no place for it: it is joined when the process ends, and a disk that
hangs would hold up a pod that has to go.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class DiskBusyError(OSError):
    """So much waits for the disk already that nothing more is taken."""


class DiskThread:
    """One daemon thread that carries out calls in order, at most ``max_waiting`` of them."""

    def __init__(self, name: str, max_waiting: int) -> None:
        self._calls: queue.Queue[Callable[[], None] | None] = queue.Queue(max_waiting)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def run(self, function: Callable[[], T]) -> T:
        """The function's result, or what it raised. Raises DiskBusyError. Cancelling gives up the
        result, not the call."""
        result: concurrent.futures.Future[T] = concurrent.futures.Future()

        def call() -> None:
            if not result.set_running_or_notify_cancel():
                return
            try:
                result.set_result(function())
            except BaseException as error:
                result.set_exception(error)

        try:
            self._calls.put_nowait(call)
        except queue.Full:
            raise DiskBusyError("too much waits for the disk") from None
        return await asyncio.wrap_future(result)

    def close(self) -> None:
        """Ends the thread once it is done with what it has; does not wait for it."""
        try:
            self._calls.put_nowait(None)
        except queue.Full:
            return  # it hangs, and ends with the process

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
