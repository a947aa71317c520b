"""What the fault tests of Restreams share: a platform, lines that break, and a stopwatch."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.media.push_peers import Line, line_to
from tests.support.frames import runs
from tests.support.kubectl import Kubectl
from tests.support.target import free_port

__all__ = ["Lines", "Platform", "State", "Stopwatch", "dials", "lines", "platform", "unbroken"]

Status = dict[str, Any]
_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
_NGINX = """
load_module {module};
daemon off;
master_process off;
worker_processes 1;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
rtmp {{ server {{
  listen {host}:{port};
  application live {{ live on; }}
  application kept {{ live on; record all; record_path {folder}; record_unique on; }}
}} }}
"""


@dataclass(slots=True, frozen=True)
class Platform:
    """An nginx-rtmp: takes each key once at a time, says no to a second publisher."""

    host: str
    port: int
    folder: Path

    def uri(self, application: str = "live") -> str:
        return f"rtmp://{self.host}:{self.port}/{application}"

    def kept(self, key: str) -> list[Path]:
        """One file for each publication with that key to ``kept``, oldest first."""
        return sorted(self.folder.glob(f"{key}-*.flv"), key=lambda file: file.stat().st_ctime)


@contextmanager
def platform(host: str, folder: Path) -> Iterator[Platform]:
    if not _MODULE.exists():
        pytest.skip("libnginx-mod-rtmp is not installed")
    folder.mkdir(exist_ok=True)
    port = free_port(host)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(module=_MODULE, folder=folder, host=host, port=port))
    command = ["nginx", "-p", str(folder), "-e", str(folder / "early.log"), "-c", str(config)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, port), 0.2):
            break
        time.sleep(0.05)
    try:
        yield Platform(host, port, folder)
    finally:
        process.terminate()
        process.wait(10)


class Lines:
    """Relays before targets; they run beside the test, which waits for kubectl most of the time."""

    def __init__(self, host: str, loop: asyncio.AbstractEventLoop) -> None:
        self._host, self._loop = host, loop
        self._stack = contextlib.AsyncExitStack()

    def to(self, port: int, **how: Any) -> Line:
        opened = line_to(port, host=self._host, **how)
        return asyncio.run_coroutine_threadsafe(
            self._stack.enter_async_context(opened), self._loop
        ).result(10)

    def reset(self, line: Line) -> None:
        self._loop.call_soon_threadsafe(line.reset)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(10)


@contextmanager
def lines(host: str) -> Iterator[Lines]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="lines")
    thread.start()
    made = Lines(host, loop)
    try:
        yield made
    finally:
        made.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@dataclass(slots=True, frozen=True)
class State:
    """A Restream's status as it became known."""

    at: float
    """Monotonic seconds."""
    name: str
    status: Status

    @property
    def word(self) -> str:
        return str(self.status.get("state"))

    @property
    def class_(self) -> str | None:
        found: str | None = self.status.get("lastError", {}).get("class")
        return found


class Stopwatch:
    """Watches all Restreams of a namespace, and notes when what became known."""

    def __init__(self, kube: Kubectl) -> None:
        command = [kube.binary, f"--kubeconfig={kube.kubeconfig}", f"--namespace={kube.namespace}"]
        self._process = subprocess.Popen(
            [*command, "get", "restreams", "--watch", "-o", "json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._seen: list[State] = []
        self._news = threading.Condition()
        self._reading = threading.Thread(target=self._read, name="stopwatch")
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        text = ""
        for line in self._process.stdout:
            text += line
            if line.rstrip() == "}":  # kubectl indents what is inside an object
                obj, text = json.loads(text), ""
                name, status = obj["metadata"]["name"], obj.get("status", {})
                with self._news:
                    self._seen.append(State(time.monotonic(), name, status))
                    self._news.notify_all()

    def until(
        self,
        name: str,
        what: str | Callable[[State], object],
        *,
        since: float = 0.0,
        seconds: float = 60,
    ) -> State:
        """The first status after ``since`` that is so (a word: that state)."""

        def fits(seen: State) -> object:
            return seen.word == what if isinstance(what, str) else what(seen)

        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for seen in self._seen:
                    if seen.name == name and seen.at >= since and fits(seen):
                        return seen
                if not self._news.wait(deadline - time.monotonic()):
                    story = [(round(s.at - since, 2), s.word, s.class_) for s in self.of(name)]
                    raise AssertionError(f"{name}: not {what} within {seconds:.0f} s: {story}")

    def of(self, name: str) -> list[State]:
        return [seen for seen in self._seen if seen.name == name]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._reading.join(10)


def dials(kube: Kubectl, name: str) -> list[tuple[datetime, datetime]]:
    """Out of the pusher's log: when it dialled with success, and when it was Live."""
    found: list[tuple[datetime, datetime]] = []
    began: datetime | None = None
    for line in kube("logs", f"deploy/{name}-push").splitlines():
        entry = json.loads(line)
        if entry["event"] != "push_state":
            continue
        at = datetime.fromisoformat(entry["timestamp"])
        if entry["state"] == "Live" and entry["before"] == "Connecting" and began is not None:
            found.append((began, at))
        began = at if entry["state"] == "Connecting" else None
    return found


def unbroken(file: Path, clip: Path) -> int:
    """How many frames a target has; raises unless they are all of a looped clip's, in order."""
    found = runs(file, {"A": clip})
    assert found, f"{file} is empty"
    last = max(run.last for run in found)
    assert found[0].first == 0, found
    for run, following in pairwise(found):
        assert (run.source, following.source) == ("A", "A"), found
        assert (run.last, following.first) == (last, 0), found
    return sum(map(len, found))
