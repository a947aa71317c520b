"""A DNS server for tests of the edge: A records over UDP, and answers that a client must refuse."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from typing import Self

__all__ = ["Dns"]

HOST = "127.0.0.1"
NXDOMAIN = 3
TYPE_A, TYPE_CNAME = 1, 5


class Dns:
    """A server in a thread. `records` has the addresses by name, without the last dot."""

    def __init__(self, ttl: int = 1) -> None:
        self.records: dict[str, list[str]] = {}
        self.queries: Counter[str] = Counter()
        self.ttl = ttl
        self.silent = False
        #: Send a wrong id with a wrong address before each answer.
        self.forge = False
        #: Put a CNAME record before the addresses.
        self.alias = False
        #: Cut each answer in its second record, and set the TC bit.
        self.truncate = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        return f"{HOST}:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            question, peer = self._socket.recvfrom(512)
            if not question:
                return
            name = self._name(question)
            self.queries[name] += 1
            if self.silent:
                continue
            if self.forge:
                wrong = struct.pack("!H", (struct.unpack("!H", question[:2])[0] + 1) % 65536)
                self._socket.sendto(self._answer(wrong + question[2:], ["127.9.9.9"]), peer)
                time.sleep(0.01)
            self._socket.sendto(self._answer(question, self.records.get(name)), peer)

    @staticmethod
    def _name(question: bytes) -> str:
        labels, at = [], 12
        while size := question[at]:
            labels.append(question[at + 1 : at + 1 + size].decode())
            at += size + 1
        return ".".join(labels)

    def _answer(self, question: bytes, addresses: list[str] | None) -> bytes:
        records = [
            struct.pack("!HHHIH", 0xC00C, TYPE_A, 1, self.ttl, 4) + socket.inet_aton(address)
            for address in addresses or []
        ]
        if self.alias and records:
            target = b"\x05other" + b"\xc0\x0c"
            records.insert(
                0, struct.pack("!HHHIH", 0xC00C, TYPE_CNAME, 1, 60, len(target)) + target
            )
        flags = 0x8180 | (0 if addresses is not None else NXDOMAIN)
        body = b"".join(records)
        if self.truncate:
            flags |= 0x0200
            body = body[:20]
        return (
            question[:2]
            + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
            + question[12:]
            + body
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()
