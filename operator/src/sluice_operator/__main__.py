"""``python -m sluice_operator``: see :mod:`sluice_operator.cli`."""

import signal
import sys
from types import FrameType


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


# The kernel has no default action for signals to process 1 of a container. Without this handler, a
# SIGTERM during the imports would be lost, and the pod would use up its whole grace period.
signal.signal(signal.SIGTERM, _leave)

from sluice_operator.cli import app  # noqa: E402

app()
