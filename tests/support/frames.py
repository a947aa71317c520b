"""Frame comparison: which frames of which source are in a recording, in what order.

Both sides are decoded and hashed frame by frame; the recording is then described as runs of
consecutive source frames. One run from a to b means: every frame from a to b, once, in order.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import clip_store

__all__ = ["Run", "decode_errors", "frame_hashes", "make_clip", "probe", "runs"]


@dataclass(slots=True)
class Run:
    """Consecutive frames of one source; ``source`` is ``?`` for frames that no source has."""

    source: str
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1


def make_clip(
    path: Path,
    *,
    seconds: int = 60,
    label: str = "A",
    gop_frames: int = 50,
    b_frames: int = 0,
    audio: bool = True,
    video: bool = True,
    heavy: bool = False,
) -> Path:
    """Make a 320x180 clip at 25 frames/s in FLV, in which all frames differ.

    ``label`` gives two clips different pictures; ``heavy`` is about 5 Mbit/s instead of 0.5."""
    if path.exists():
        return path
    picture = f"testsrc2=size=320x180:rate=25:duration={seconds}"
    if heavy:
        picture += ",noise=alls=40:allf=t"
    hue = {"A": "0", "B": "90", "C": "180"}[label]
    args: list[str] = []
    if video:
        args += ["-f", "lavfi", "-i", f"{picture},hue=h={hue}"]
    if audio:
        args += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"]
    if video:
        args += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
        args += ["-b:v", "5M" if heavy else "400k"]
        args += ["-g", str(gop_frames), "-keyint_min", str(gop_frames), "-sc_threshold", "0"]
        args += ["-bf", str(b_frames)]
    if audio:
        args += ["-c:a", "aac", "-b:a", "64k"]
    clip_store.encode([*args, "-f", "flv"], path)
    return path


@cache
def _source_hashes(path: Path, stream: str) -> list[str]:
    """Return the frame hashes of a source, computed once, because sources do not change."""
    return clip_store.remember(path, f"frames of {stream}", lambda: frame_hashes(path, stream))


def frame_hashes(path: Path, stream: str = "v:0") -> list[str]:
    """Return MD5 of each decoded frame of that stream, in presentation order."""
    done = subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-i", str(path), "-map", f"0:{stream}"),
            *("-fps_mode", "passthrough", "-f", "framemd5", "-"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = [line.split(",") for line in done.stdout.splitlines() if line and line[0] != "#"]
    return [fields[-1].strip() for fields in lines]


def runs(recording: Path, sources: dict[str, Path], stream: str = "v:0") -> list[Run]:
    """Return the recording as runs of source frames."""
    known: dict[str, tuple[str, int]] = {}
    for name, source in sources.items():
        for number, digest in enumerate(_source_hashes(source, stream)):
            known.setdefault(digest, (name, number))
    found: list[Run] = []
    for digest in frame_hashes(recording, stream):
        name, number = known.get(digest, ("?", -1))
        if found and found[-1].source == name and found[-1].last + 1 == number:
            found[-1].last = number
        else:
            found.append(Run(name, number, number))
    return found


def decode_errors(path: Path) -> str:
    """Return the errors of a full decode; empty without errors."""
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stderr.strip()


def probe(path: Path) -> dict[str, Any]:
    """Return ffprobe's format and streams."""
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
