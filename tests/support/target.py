"""An RTMP target like a platform: FFmpeg, which listens, accepts everything and stores it."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from tests.support.ports import free_port

__all__ = ["RtmpTarget", "address_towards", "free_port"]


def address_towards(peer: str) -> str:
    """Return the address of this machine that the peer can dial."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((peer, 9))
        return str(probe.getsockname()[0])


class RtmpTarget:
    """A listener that writes the media of one publisher to ``file``. It can be started again after
    a kill."""

    def __init__(self, host: str, port: int, file: Path) -> None:
        self.url = f"rtmp://{host}:{port}/live"
        self.file = file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Listen, with a new file for each start: ``a.flv``, ``a.1.flv``, …"""
        if self.file.exists():
            stem, number = self.file.stem.partition(".")[::2]
            self.file = self.file.with_name(f"{stem}.{int(number or 0) + 1}.flv")
        args = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-listen", "1", "-i", f"{self.url}/key"]
        self._process = subprocess.Popen(
            [*args, "-c", "copy", "-flush_packets", "1", "-f", "flv", str(self.file)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return self

    def wait_bytes(self, count: int = 20_000, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.file.exists() and self.file.stat().st_size >= count:
                return
            time.sleep(0.1)
        raise AssertionError(f"the target received fewer than {count} bytes in {seconds:.0f} s")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def finish(self) -> None:
        """Wait until the publisher has disconnected and the file is complete."""
        assert self._process is not None
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(10)

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
        self.kill()
