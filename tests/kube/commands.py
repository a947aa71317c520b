"""Runner of other programs. Each failure becomes one clear error."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.kube.errors import KubeToolError

__all__ = ["run", "succeeds"]


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        argv: program and arguments; no shell is involved.
        stdin: text for standard input; absent: empty input.
        cwd: the folder to run it in.
        timeout: seconds after which the program is killed.

    Raises:
        KubeToolError: the program is not installed, failed, or exceeded the timeout.
    """
    words = [str(word) for word in argv]
    try:
        result = subprocess.run(
            words,
            input=stdin or "",
            cwd=cwd,
            timeout=timeout,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise KubeToolError(
            f"{words[0]} is not installed; run: python3 -m tests.kube packages"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise KubeToolError(f"{_shown(words)} took longer than {timeout:g} s") from error
    if result.returncode != 0:
        output = (result.stderr.strip() or result.stdout.strip())[-2000:]
        raise KubeToolError(f"{_shown(words)} failed ({result.returncode}): {output}")
    return result.stdout


def succeeds(argv: Sequence[str | Path], *, timeout: float | None = None) -> bool:
    """Return whether a program is installed and ends with exit code 0."""
    try:
        run(argv, timeout=timeout)
    except KubeToolError:
        return False
    return True


def _shown(words: Sequence[str]) -> str:
    text = " ".join(words)
    return text if len(text) <= 160 else text[:157] + "…"
