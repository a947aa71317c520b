"""Independent tasks that run at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from tests.kube.console import board, say
from tests.kube.errors import KubeToolError

__all__ = ["side_by_side"]

Work = Callable[[threading.Event], object]
"""A task. It must poll the event, and end early when the event is set."""


def side_by_side(works: Mapping[str, Work]) -> None:
    """Run all tasks. When one fails, stop the others.

    Raises:
        KubeToolError: the first failure.
    """
    stop = threading.Event()
    failures: list[Exception] = []

    def run(name: str, work: Work) -> None:
        try:
            work(stop)
        except Exception as error:
            if not stop.is_set():
                failures.append(error)
                say(f"{name} failed; ending the rest")
            stop.set()

    threads = [
        threading.Thread(target=run, args=each, name=each[0], daemon=True) for each in works.items()
    ]
    with board.going():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        error = failures[0]
        raise error if isinstance(error, KubeToolError) else KubeToolError(str(error)) from error
