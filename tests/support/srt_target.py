"""An SRT target: FFmpeg, which listens, accepts one caller and stores its media."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Self

from tests.support.ports import free_udp_port

__all__ = ["SrtTarget", "free_udp_port"]


class SrtTarget:
    """A listener that writes the media of one caller to ``file``, a transport stream. It ends with
    the caller."""

    def __init__(self, host: str, port: int, file: Path, *, passphrase: str = "") -> None:
        self.url = f"srt://{host}:{port}"
        self.file = file
        self._listen = f"{self.url}?mode=listener"
        if passphrase:
            self._listen += f"&passphrase={passphrase}"
        self._process: subprocess.Popen[bytes] | None = None

    def finish(self) -> None:
        """Wait until the caller has disconnected and the file is complete."""
        assert self._process is not None
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait(10)

    def __enter__(self) -> Self:
        args = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", self._listen, "-c", "copy"]
        self._process = subprocess.Popen(
            [*args, "-flush_packets", "1", "-f", "mpegts", str(self.file)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
