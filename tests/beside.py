"""Run two commands at the same time without mixing their output.

``python3 tests/beside.py TITLE BACKGROUND FOREGROUND``: each command is one line for the shell. The
foreground command has the terminal. The background command writes to a log file, which is printed
when both have ended, or at once when the background command ends last. The exit code is that of the
first command that failed, the foreground command's first.

A failed background command does not end the foreground command: its log names the trouble, and the
tests of the foreground still count.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main(title: str, background: str, foreground: str) -> int:
    """Run both commands to their ends; return the exit code for both."""
    started = time.monotonic()
    with tempfile.NamedTemporaryFile(prefix="sluice-beside-", suffix=".log") as log:
        print(f"{title} begins in the background; log: {log.name}", flush=True)
        behind = subprocess.Popen(
            background, shell=True, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        try:
            code = subprocess.call(foreground, shell=True)
            if behind.poll() is None:
                print(f"waiting for {title} …", flush=True)
            failed = behind.wait()
        except KeyboardInterrupt:
            behind.wait()
            return 130
        print(f"--- {title}: log of {time.monotonic() - started:.0f} s", flush=True)
        sys.stdout.write(Path(log.name).read_text(encoding="utf-8", errors="replace"))
        verdict = f"FAILED with exit code {failed}" if failed else "done"
        print(f"--- {title}: {verdict}", flush=True)
    return code or failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
