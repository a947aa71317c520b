"""An encoder whose picture shows the time at which each frame was made, for a page to read."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from typing import Self

__all__ = ["ClockPublisher", "clock_frame"]

WIDTH, HEIGHT, FRAMES_PER_SECOND = 320, 180, 25
BITS, CELL, LEFT = 24, 12, 10
CLOCK_ROWS = 40


def clock_frame(moment: float) -> bytes:
    """Return a gray frame with the clock of ``moment``, Unix seconds: hundredths of a second as 24
    cells, and below them a bar that moves."""
    hundredths = int(moment * 100) % (1 << BITS)
    bits = f"{hundredths:0{BITS}b}"
    cells = b"".join((b"\xeb" if bit == "1" else b"\x10") * CELL for bit in bits)
    row = b"\x10" * LEFT + cells
    row += b"\x10" * (WIDTH - len(row))
    place = hundredths // 4 % (WIDTH - 20)
    bar = b"\x50" * place + b"\xb0" * 20 + b"\x50" * (WIDTH - 20 - place)
    return row * CLOCK_ROWS + bar * (HEIGHT - CLOCK_ROWS)


class ClockPublisher:
    """FFmpeg with B-frames, as OBS publishes, fed with frames in real time."""

    def __init__(self, url: str, *, width: int = WIDTH) -> None:
        """``width`` is that of the picture as it is sent."""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        container = "mpegts" if url.startswith("srt:") else "flv"
        self._process = subprocess.Popen(
            [
                *("ffmpeg", "-v", "warning", "-nostdin"),
                *("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{HEIGHT}"),
                *("-r", str(FRAMES_PER_SECOND), "-i", "pipe:0"),
                *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"),
                *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "2"),
                *("-vf", f"scale={width}:-2"),
                *("-g", "50", "-x264-params", "scenecut=0", "-b:v", "400k", "-threads", "1"),
                *("-c:a", "aac", "-b:a", "64k", "-shortest", "-f", container, url),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def log(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode("utf-8", "replace")

    def kill(self) -> None:
        """End like a crashed encoder."""
        self._ended.set()
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _feed(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        begun, frames = time.monotonic(), 0
        while not self._ended.is_set():
            try:
                pipe.write(clock_frame(time.time()))
                pipe.flush()
            except OSError:
                return
            frames += 1
            time.sleep(max(0.0, begun + frames / FRAMES_PER_SECOND - time.monotonic()))
