"""``python -m sluice_media ROLE``: see :mod:`sluice_media.cli`."""

import signal
import sys
from types import FrameType


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


# The kernel takes no default action for process 1 of a container: a SIGTERM that arrives while
# the modules of a role are imported (about a second) would be lost, and the pod would live on, and
# work, until its grace period is over.
signal.signal(signal.SIGTERM, _leave)

from sluice_media.cli import main  # noqa: E402

sys.exit(main())
