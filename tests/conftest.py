"""What holds for all tests.

Property tests get few examples here, so that all tests together stay quick, and no deadline,
because other tests run beside them. They are the same ones in every run, so that a change is
blamed only for what it did; ``SLUICE_EXAMPLES=1000`` looks harder, elsewhere each time.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

examples = os.environ.get("SLUICE_EXAMPLES")
settings.register_profile(
    "sluice", max_examples=int(examples or "40"), derandomize=examples is None, deadline=None
)
settings.load_profile("sluice")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each worker of pytest-xdist its share of the tests marked `long`, to begin with.

    `--dist worksteal` hands the list out in one piece for each worker. A long test at the end
    of a worker would keep the whole run waiting.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("long")]
    others = [item for item in items if not item.get_closest_marker("long")]
    cuts = [len(others) * worker // workers for worker in range(workers + 1)]
    items[:] = [
        item
        for worker in range(workers)
        for item in (*long[worker::workers], *others[cuts[worker] : cuts[worker + 1]])
    ]
