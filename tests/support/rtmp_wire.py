"""Bytes between an RTMP client and a server, without a network."""

from __future__ import annotations

from sluice_media.protocols.rtmp import (
    ClientEvent,
    ClientSession,
    ServerEvent,
    ServerSession,
)


def run(
    client: ClientSession, server: ServerSession, step: int = 1 << 20
) -> tuple[list[ClientEvent], list[ServerEvent]]:
    """Carry bytes both ways until both sides have nothing to send."""
    of_client: list[ClientEvent] = []
    of_server: list[ServerEvent] = []
    while True:
        up, down = client.take_output(), server.take_output()
        if not up and not down:
            return of_client, of_server
        for start in range(0, len(up), step):
            of_server += server.feed(up[start : start + step])
        for start in range(0, len(down), step):
            of_client += client.feed(down[start : start + step])
