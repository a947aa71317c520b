"""A publisher like an encoder: FFmpeg, in real time, over RTMP, RTMPS or SRT."""

from __future__ import annotations

import contextlib
import http.server
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from tests.support.ports import wait_listening

__all__ = ["HttpSource", "Publisher", "live_http_source", "wait_gateway"]

_SRT_TRIES = 3
_SRT_ANSWER_SECONDS = 0.7


class Publisher:
    """A publisher of a clip. It does not encode again, so that each frame can be identified in a
    recording.

    ``kill()`` simulates a crashed encoder, ``freeze()`` a pulled cable, and ``stop()`` a producer
    who ends the broadcast."""

    def __init__(
        self, clip: Path, url: str, *, start_seconds: float = 0, loop: bool = False
    ) -> None:
        args = ["ffmpeg", "-v", "warning", "-nostdin", "-re"]
        if loop:
            args += ["-stream_loop", "-1"]
        if start_seconds:
            args += ["-ss", str(start_seconds)]
        container = "mpegts" if url.startswith("srt:") else "flv"
        args += ["-i", str(clip), "-c", "copy", "-f", container, url]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        self._start(args)
        if url.startswith("srt:"):
            # If the hub answers after more than 80 ms, publishers must try again, as encoders do.
            for _ in range(_SRT_TRIES - 1):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_SRT_ANSWER_SECONDS)
                    self._start(args)

    def _start(self, args: list[str]) -> None:
        self.started_at = time.time()
        self._process = subprocess.Popen(
            args, stdout=subprocess.DEVNULL, stderr=self._stderr, stdin=subprocess.DEVNULL
        )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """End the broadcast in an orderly way."""
        if self.running:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill the encoder. The kernel closes its socket."""
        if self.running:
            self._process.kill()
        self._process.wait(10)

    def freeze(self) -> None:
        """Stop the encoder's process, as if the network were silent. The socket stays open without
        data."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def wait_refused(self, seconds: float = 40) -> str:
        """Wait until the encoder gives up; return its output."""
        self._process.wait(seconds)
        return self.output()

    def output(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode("utf-8", "replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._stderr.close()


def wait_gateway(url: str) -> None:
    """Wait until the gateway of an RTMP URL can be dialled, because FFmpeg does not retry."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    wait_listening(parts.hostname, parts.port or 1935)


class HttpSource:
    """A source to pull from: serves a clip as MPEG-TS in real time, to one client at a time."""

    def __init__(self, clip: Path, url: str) -> None:
        args = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-i", str(clip), "-c", "copy"]
        self._args = [*args, "-f", "mpegts", "-listen", "1", url]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._args,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


@contextlib.contextmanager
def live_http_source(clip: Path, host: str, port: int) -> Iterator[str]:
    """Yield the URL of a camera that runs with and without clients: MPEG-TS in real time over HTTP.
    A client that connects (again) gets the present media and never former media."""
    viewers: set[queue.SimpleQueue[bytes]] = set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received: queue.SimpleQueue[bytes] = queue.SimpleQueue()
            viewers.add(received)
            try:
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                with contextlib.suppress(OSError):
                    while data := received.get():
                        self.wfile.write(data)
            finally:
                viewers.discard(received)

        def log_message(self, *args: object) -> None:
            """Log nothing."""

    args = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-i", str(clip), "-c", "copy"]
    args += ["-f", "mpegts", "-flush_packets", "1", "pipe:1"]

    def distribute(camera: subprocess.Popen[bytes]) -> None:
        assert camera.stdout is not None
        data = b"first"
        while data:
            data = camera.stdout.read(188 * 20)
            for viewer in tuple(viewers):
                viewer.put(data)  # the last one is empty: the end

    with (
        http.server.ThreadingHTTPServer((host, port), Handler) as server,
        subprocess.Popen(args, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as camera,
    ):
        threads = [
            threading.Thread(target=server.serve_forever, daemon=True),
            threading.Thread(target=distribute, args=(camera,), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            yield f"http://{host}:{port}/live.ts"
        finally:
            camera.kill()
            server.shutdown()
            for thread in threads:
                thread.join(10)
