"""Pieces of work that do not need each other, at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from tests.kube.console import board, say
from tests.kube.errors import KubeToolError

__all__ = ["side_by_side"]

Work = Callable[[threading.Event], object]
"""It looks at the event now and then, and ends early once that is set."""


def side_by_side(works: Mapping[str, Work]) -> None:
    """Do all of it; once one has failed, the others are told to stop.

    Raises:
        KubeToolError: what went wrong first.
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
