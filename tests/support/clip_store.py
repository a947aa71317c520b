"""Clips that FFmpeg made once, and the results of their decoding, for all workers and later runs.

They are in the cache that may always be deleted. The key is the command and FFmpeg's version. Tests
get copies, so that no test can change the clip of another.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import cast

from tests.kube.paths import Paths

__all__ = ["encode", "remember"]


def encode(arguments: Sequence[str], path: Path, *, seconds: float = 300) -> None:
    """Run ``ffmpeg ARGUMENTS PATH``, or copy the file of an earlier run.

    Args:
        arguments: must name no file, so that they alone determine the result.
        path: the file to make; its ending chooses the container.
        seconds: timeout of FFmpeg.
    """
    with _kept(json.dumps([*arguments, path.suffix]), path.suffix) as kept:
        if not kept.exists():
            fresh = kept.with_name(f"fresh-{kept.name}")
            command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments, str(fresh)]
            subprocess.run(command, check=True, timeout=seconds)
            fresh.replace(kept)
    shutil.copyfile(kept, path)


def remember(path: Path, what: str, work: Callable[[], list[str]]) -> list[str]:
    """Return the result of ``work`` for this file's content, from the cache if it is there."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    with _kept(json.dumps([content, what]), ".json") as kept:
        if not kept.exists():
            fresh = kept.with_name(f"fresh-{kept.name}")
            fresh.write_text(json.dumps(work()), encoding="utf-8")
            fresh.replace(kept)
        return cast("list[str]", json.loads(kept.read_text(encoding="utf-8")))


@contextmanager
def _kept(key: str, suffix: str) -> Iterator[Path]:
    """Yield the file of that key under a lock."""
    folder = Paths.from_environment().cache / "clips"
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(f"{_ffmpeg_version()}\n{key}".encode()).hexdigest()[:24]
    with (folder / f"{digest}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder / f"{digest}{suffix}"


@cache
def _ffmpeg_version() -> str:
    command = ["ffmpeg", "-version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
