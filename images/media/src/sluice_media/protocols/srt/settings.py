"""How the listener behaves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class SrtListenerSettings:
    bind: str = "::"
    """Address, IPv4 or IPv6; ``::`` takes both."""
    port: int = 9710
    """UDP; 0 lets the system choose."""
    latency_ms: int = 120
    """What we ask for at least; a sender that asks for more gets more."""
    silence_ms: int = 2_000
    """A publisher that has sent no media for so long is cut. libsrt's own PEERIDLETIMEO cannot do
    that: it also waits for 16 intervals of 300 ms, so that a killed caller is noticed after 4.9 s
    at the earliest, whatever the option says."""
    takeover_ms: int = 800
    """A publisher silent for longer than this is replaced by a new one with the same key."""
    max_connections: int = 2_000
    """Connections that have not ended, and handshakes in flight."""
    max_unaccepted: int = 32
    queue_bytes: int = 4 << 20
    """Of one connection, received and not yet read; then it is not read from any more."""
    idle_seconds: float = 60.0
    """So long after the last publisher or caller libsrt is stopped, see :mod:`.doorbell`."""
    lookup_wait_ms: int = 80
    """How long the handshake of an unknown stream may wait for its lookup."""
