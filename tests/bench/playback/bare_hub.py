"""``python bare_hub.py CLIP ROUNDS SECONDS``: a gateway and a hub with one publisher, and a reader
like a recorder. Prints a line of JSON for each round: bytes and packets of the reader per second,
and CPU of the hub in per cent of a core.

It is run with the rig of another commit as ``tests``, so it uses few names of it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

from tests.support.broadcast_rig import HUB_TOKEN, broadcast_rig
from tests.support.publish import Publisher

SETTLE_SECONDS = 6.0
_SEGMENTS_IN_AT = 140
"""Offset of ``tcpi_segs_in`` in ``struct tcp_info`` (linux/tcp.h)."""


class Reader:
    """A connection to the hub, as a recorder has."""

    def __init__(self, port: int) -> None:
        self.bytes = 0
        self._socket = socket.create_connection(("127.0.0.1", port))
        request = "GET /v1/timeline?role=recorder&reader=bench HTTP/1.1\r\nHost: hub\r\n"
        self._socket.sendall(f"{request}Authorization: Bearer {HUB_TOKEN}\r\n\r\n".encode())

    def read(self) -> None:
        """Read until the connection ends."""
        while data := self._socket.recv(1 << 18):
            self.bytes += len(data)

    @property
    def packets(self) -> int:
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        count: int = struct.unpack_from("I", info, _SEGMENTS_IN_AT)[0]
        return count

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _cpu_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


async def measure(clip: Path, rounds: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with broadcast_rig(Path(folder)) as rig:
            with Publisher(clip, rig.url, loop=True):
                await rig.until(lambda status: status.on_air)
                reader = Reader(rig.hub_port)
                reading = asyncio.create_task(asyncio.to_thread(reader.read))
                await asyncio.sleep(SETTLE_SECONDS)
                for _ in range(rounds):
                    began, cpu = time.monotonic(), _cpu_seconds(rig.hub.pid)
                    count, packets = reader.bytes, reader.packets
                    await asyncio.sleep(seconds)
                    length = time.monotonic() - began
                    found = {
                        "bytes": (reader.bytes - count) / length,
                        "packets": (reader.packets - packets) / length,
                        "cpu": 100 * (_cpu_seconds(rig.hub.pid) - cpu) / length,
                    }
                    print(json.dumps(found), flush=True)
                reader.close()
                await reading


if __name__ == "__main__":
    asyncio.run(measure(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
