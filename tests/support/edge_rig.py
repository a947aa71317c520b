"""The edge on this machine: nginx with its Lua modules, origins, and a DNS server."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.edge_dns import Dns
from tests.support.ports import free_port, wait_listening

__all__ = ["EDGE_KEY", "Answer", "Edge", "OriginProcess", "Rig", "make_rig"]

ROOT = Path(__file__).parents[2]
ENTRYPOINT = ROOT / "images" / "edge" / "entrypoint.sh"
EDGE_KEY = "the-edge-key"
DOMAIN = "cluster.test"
STOP_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, its header names in lower case, and the seconds until its last byte."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        return self.body.decode()


def request(
    address: tuple[str, int],
    path: str,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    body: bytes | None = None,
) -> Answer:
    """Send one request with the path as it is, and read the whole answer."""
    started = time.monotonic()
    connection = http.client.HTTPConnection(*address, timeout=20)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        content = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, content, time.monotonic() - started)
    finally:
        connection.close()


class OriginProcess:
    """A process of `tests.support.edge_origin` at one loopback address."""

    def __init__(self, host: str, port: int, stream: str, arguments: Mapping[str, object]) -> None:
        self.host, self.port = host, port
        options = {"host": host, "port": port, "stream": stream, "edge-key": EDGE_KEY, **arguments}
        self._command = [sys.executable, "-m", "tests.support.edge_origin"]
        for name, value in options.items():
            self._command += [f"--{name}", str(value)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdin=subprocess.DEVNULL)
        process = self._process
        wait_listening(self.host, self.port, lambda: process.poll() is None)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def set(self, **settings: int) -> None:
        query = "&".join(f"{name}={value}" for name, value in settings.items())
        assert request((self.host, self.port), f"/control/set?{query}").status == 200

    def counts(self) -> dict[str, int]:
        """Return the number of requests by path since the start."""
        found: dict[str, int] = json.loads(request((self.host, self.port), "/control/counts").body)
        return found

    def reset(self) -> None:
        request((self.host, self.port), "/control/reset")


class Edge:
    """An nginx process, started as the image starts it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.folder = folder
        self.log = folder / "edge.log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")},
            "EDGE_DIR": str(folder / "edge"),
            "SLUICE_LISTEN": f"127.0.0.1:{self.port}",
            "SLUICE_METRICS_LISTEN": f"127.0.0.1:{self.metrics_port}",
            "SLUICE_CLUSTER_DOMAIN": DOMAIN,
            "SLUICE_CONNECTIONS": "4096",
            "SLUICE_WORKERS": "1",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(ENTRYPOINT)], env=self._environment, stdin=subprocess.DEVNULL, stderr=log
            )
        process = self._process
        try:
            wait_listening("127.0.0.1", self.port, lambda: process.poll() is None)
        except AssertionError as error:
            raise AssertionError(f"nginx did not start: {self.log.read_text()}") from error

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return request(("127.0.0.1", self.port), path, headers)

    def send(self, method: str, path: str, body: bytes | None = None) -> Answer:
        return request(("127.0.0.1", self.port), path, method=method, body=body)

    def metrics(self) -> dict[str, float]:
        """Return the metrics by name with labels, as they are after the next flush."""
        time.sleep(1.2)
        page = request(("127.0.0.1", self.metrics_port), "/metrics").text
        return {
            found[1]: float(found[2])
            for line in page.splitlines()
            if (found := re.match(r"([^#]\S*(?:\{.*\})?) (\S+)$", line))
        }

    def health(self, path: str) -> Answer:
        return request(("127.0.0.1", self.metrics_port), path)

    def raw(self, payload: bytes) -> bytes:
        """Send these bytes, and return the answer until the connection's end, at most 64 KiB."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(payload)
            found = b""
            while len(found) < 65536 and (data := connection.recv(65536)):
                found += data
            return found

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS)
            self._process = None


@dataclass
class Rig:
    """One edge, a stream's origins, and their DNS server."""

    edge: Edge
    dns: Dns
    origins: list[OriginProcess]
    stream: str
    epoch: float
    part_seconds: float
    parts: int
    key_file: Path
    stack: ExitStack = field(repr=False)

    @property
    def name(self) -> str:
        """Return the stream's name in the DNS."""
        return dns_name(self.stream)

    def path(self, rest: str) -> str:
        return f"/{self.stream}/{rest}"

    def get(self, rest: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.edge.get(self.path(rest), headers)

    def wait_part(self, number: int) -> None:
        """Wait until the origins have begun this part, counted from the first segment."""
        time.sleep(max(0.0, self.epoch + number * self.part_seconds - time.time() + 0.01))

    @property
    def finished(self) -> int:
        """Return the number of parts that the origins have finished."""
        return int((time.time() - self.epoch) / self.part_seconds)

    def counts(self) -> dict[str, int]:
        """Return the origins' requests by path, added up."""
        found: dict[str, int] = {}
        for origin in self.origins:
            for path, count in origin.counts().items():
                found[path] = found.get(path, 0) + count
        return found

    def reset(self) -> None:
        for origin in self.origins:
            origin.reset()


def dns_name(stream: str) -> str:
    namespace, name = stream.split("/")
    return f"{name}-play.{namespace}.svc.{DOMAIN}"


def _block_of(folder: Path) -> int:
    """Return a number for loopback addresses that two rigs at once hardly share."""
    return int.from_bytes(hashlib.sha256(str(folder).encode()).digest()[:2])


@contextmanager
def make_rig(
    folder: Path,
    *,
    replicas: int = 1,
    stream: str = "films/show",
    part_seconds: float = 0.5,
    parts: int = 4,
    edge: Mapping[str, str] | None = None,
    **arguments: object,
) -> Iterator[Rig]:
    """Run an edge with the origins of one stream. `arguments` are those of the origin."""
    folder.mkdir(parents=True, exist_ok=True)
    key_file = folder / "key"
    key_file.write_text(f" {EDGE_KEY}\n")
    player = folder / "player"
    player.mkdir()
    (player / "index.html").write_text("<!doctype html><title>Player</title>" + " " * 2000)
    (player / "app-ABCDEF12.js").write_text("console.log(1);" + " " * 2000)
    (player / "plain.js").write_text("console.log(2);")
    block = _block_of(folder)
    hosts = [f"127.{1 + block // 256 % 200}.{block % 256}.{2 + at}" for at in range(replicas)]
    port = free_port(hosts[0])
    # A minute of segments exists at the start.
    epoch = time.time() - 60
    options = {
        "epoch": epoch,
        "part-seconds": part_seconds,
        "parts": parts,
        **{name.replace("_", "-"): value for name, value in arguments.items()},
    }
    with ExitStack() as stack:
        dns = stack.enter_context(Dns())
        dns.records[dns_name(stream)] = hosts
        origins = [OriginProcess(host, port, stream, options) for host in hosts]
        for origin in origins:
            stack.callback(origin.kill)
            origin.start()
        process = Edge(
            folder,
            {
                "SLUICE_EDGE_KEY_FILE": str(key_file),
                "SLUICE_PLAYER_DIR": str(player),
                "SLUICE_PLAY_PORT": str(port),
                "SLUICE_RESOLVER": dns.address,
                **(edge or {}),
            },
        )
        stack.callback(process.stop)
        process.start()
        yield Rig(process, dns, origins, stream, epoch, part_seconds, parts, key_file, stack)
