"""A clip with the bit rate of a real broadcast."""

from __future__ import annotations

import subprocess
from pathlib import Path

BITS = "6M"


def make_heavy_clip(path: Path, seconds: int = 30) -> Path:
    """Make a clip of 320x180 at 25 frames/s and 6 Mb/s, with audio."""
    picture = f"testsrc2=size=320x180:rate=25:duration={seconds},noise=alls=60:allf=t"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture]
    command += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50"]
    command += ["-b:v", BITS, "-minrate", BITS, "-maxrate", BITS, "-bufsize", "3M"]
    command += ["-x264-params", "nal-hrd=cbr", "-c:a", "aac", "-b:a", "128k", str(path)]
    subprocess.run(command, check=True, timeout=300)
    return path
