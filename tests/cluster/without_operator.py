"""``python -m tests.cluster.without_operator COMMAND…``: the installed operator rests meanwhile.

Tests that bring an operator of their own can then run beside each other.
"""

from __future__ import annotations

import subprocess
import sys

from tests.cluster.operator_process import installed_operator_paused
from tests.support.cluster import SYSTEM_NAMESPACE, find_cluster


def main() -> int:
    with installed_operator_paused(find_cluster().kubectl.within(SYSTEM_NAMESPACE)):
        return subprocess.call(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
