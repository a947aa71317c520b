"""Clients that are slow, idle or too many."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.edge_origin import SESSION
from tests.support.edge_rig import ENTRYPOINT, Rig, make_rig
from tests.support.edge_viewers import idle_connections

SEND_SECONDS = 2
PART_BYTES = 4_000_000


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    limits = {"SLUICE_SEND_TIMEOUT": f"{SEND_SECONDS}s", "SLUICE_CONNECTIONS": "12000"}
    folder = tmp_path_factory.mktemp("limits")
    with make_rig(folder, edge=limits, part_bytes=PART_BYTES) as made:
        yield made


@pytest.mark.parametrize("path", [f"{SESSION}/video/3.m4s", f"{SESSION}/video/3.1.m4s"])
def test_a_reader_that_takes_nothing_is_dropped_alone(rig: Rig, path: str) -> None:
    assert rig.get(path).status == 200
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", rig.edge.port))
        slow.sendall(f"GET {rig.path(path)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(SEND_SECONDS + 1.5)
        fast = rig.get(path)
        assert (fast.status, len(fast.body) >= PART_BYTES) == (200, True)
        received = 0
        slow.settimeout(5)
        try:
            while data := slow.recv(1 << 20):
                received += len(data)
        except ConnectionResetError:
            pass
        assert received < PART_BYTES


async def test_10000_idle_connections_disturb_no_viewer(rig: Rig) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 12_000:
        pytest.skip("this process may not open 12,000 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        connections = await idle_connections(rig.edge.port, 10_000)
        started = time.monotonic()
        assert rig.get("index.m3u8").status == 200
        assert time.monotonic() - started < 1
        for writer in connections:
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_head_that_is_too_long_is_refused(rig: Rig) -> None:
    assert rig.edge.get("/films/show/" + "a" * 9000).status == 414
    assert rig.get("index.m3u8", {"X-Long": "a" * 9000}).status == 400


def test_a_setting_with_a_trick_does_not_start(tmp_path: Path) -> None:
    for value in ("1g; include /etc/passwd", "$(id)", "a|b", "a\nb"):
        environment = {"PATH": "/usr/sbin:/usr/bin:/bin", "EDGE_DIR": str(tmp_path)}
        started = subprocess.run(
            [str(ENTRYPOINT)],
            env={**environment, "SLUICE_CACHE_MAX": value},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert started.returncode == 64
        assert started.stderr.startswith("SLUICE_CACHE_MAX has a character that is not allowed")


def test_everything_is_written_below_one_folder(rig: Rig) -> None:
    rig.get(f"{SESSION}/video/4.m4s")
    found = {path.name for path in (rig.edge.folder / "edge").iterdir()}
    assert found == {"cache", "nginx.conf", "nginx.pid", "temp"}


def test_the_address_behind_a_trusted_proxy_counts_as_a_viewer(tmp_path: Path) -> None:
    trusted = {"SLUICE_TRUSTED_PROXIES": "127.0.0.1/32,10.0.0.0/8"}
    with make_rig(tmp_path / "proxied", edge=trusted) as rig:
        for at in range(5):
            rig.get("index.m3u8", {"X-Forwarded-For": f"192.0.2.{at}"})
        name = 'sluice_edge_viewers{namespace="films",stream="show"}'
        assert rig.edge.metrics()[name] == 5


def test_a_stranger_cannot_make_viewers_up(rig: Rig) -> None:
    for at in range(5):
        rig.get("index.m3u8", {"X-Forwarded-For": f"192.0.2.{at}"})
    name = 'sluice_edge_viewers{namespace="films",stream="show"}'
    assert rig.edge.metrics()[name] == 1


def test_sigquit_lets_open_answers_end(tmp_path: Path) -> None:

    with make_rig(tmp_path / "quit") as rig:
        number = rig.finished // rig.parts + 1
        rig.wait_part(number * rig.parts)
        found = []
        path = f"{SESSION}/video/{number}.m4s"
        viewer = threading.Thread(target=lambda: found.append(rig.get(path)))
        viewer.start()
        time.sleep(0.5)
        os.kill(rig.edge.pid, signal.SIGQUIT)
        viewer.join(10)
        assert len(found[0].body) == 4 * 20_000
