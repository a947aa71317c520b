"""``python3 -m tests.kube``."""

from __future__ import annotations

import sys

from tests.kube.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
