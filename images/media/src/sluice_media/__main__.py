"""``python -m sluice_media ROLE``: see :mod:`sluice_media.cli`."""

import signal
import sys
from types import FrameType


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


# For process 1 of a container the kernel has no default action. Without a handler, a SIGTERM during
# the import of a role's modules (about a second) would be lost, and the pod would run on until the
# end of its grace period.
signal.signal(signal.SIGTERM, _leave)

from sluice_media.cli import main  # noqa: E402

sys.exit(main())
