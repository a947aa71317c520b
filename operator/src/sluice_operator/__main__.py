"""``python -m sluice_operator``: see :mod:`sluice_operator.cli`."""

import signal
import sys
from types import FrameType


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


# The kernel takes no default action for process 1 of a container: a SIGTERM that arrives while
# modules are imported would be lost, and the pod would live on until its grace period is over.
signal.signal(signal.SIGTERM, _leave)

from sluice_operator.cli import app  # noqa: E402

app()
