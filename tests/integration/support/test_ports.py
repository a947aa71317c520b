"""Ports that tests hand to servers."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from tests.support.ports import BLOCK_PORTS, FIRST_PORT, LAST_PORT, free_port, free_udp_port

ROOT = Path(__file__).parents[3]


def test_no_port_is_given_again_soon_and_none_that_is_in_use() -> None:
    given = [free_port() for _ in range(BLOCK_PORTS // 4)]
    assert len(set(given)) == len(given)
    with socket.create_server(("127.0.0.1", free_port())) as server:
        taken = server.getsockname()[1]
        assert taken not in [free_port() for _ in range(BLOCK_PORTS)]
    assert free_udp_port() not in given
    assert all(FIRST_PORT <= port <= LAST_PORT for port in given)


def test_another_process_has_other_ports() -> None:
    program = "from tests.support.ports import free_port; print(free_port())"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) // BLOCK_PORTS != free_port() // BLOCK_PORTS
