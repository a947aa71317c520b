"""Threads for calls to a disk that may hang, so that they block nothing else.

The event loop's executor cannot be used: it is joined when the process ends, so that a disk that
hangs would delay the pod's termination.
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
    """The queue of calls to the disk is full."""


class DiskThread:
    """One daemon thread that runs calls in order, with a queue of at most ``max_waiting`` calls."""

    def __init__(self, name: str, max_waiting: int) -> None:
        self._calls: queue.Queue[Callable[[], None] | None] = queue.Queue(max_waiting)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def run(self, function: Callable[[], T]) -> T:
        """Return the function's result, or raise its error.

        Raises DiskBusyError when the queue is full. A cancelled call still runs."""
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
            raise DiskBusyError("too many calls wait for the disk") from None
        return await asyncio.wrap_future(result)

    def close(self) -> None:
        """End the thread after its queued calls, without waiting for it."""
        try:
            self._calls.put_nowait(None)
        except queue.Full:
            return  # The disk hangs. The thread ends with the process.

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
