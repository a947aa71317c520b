"""Settings of the SRT listener."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class SrtListenerSettings:
    """The port of a listener, its latency, its timeouts and its limits."""

    bind: str = "::"
    """Address, IPv4 or IPv6. ``::`` takes both."""
    port: int = 9710
    """UDP; 0 lets the system choose."""
    latency_ms: int = 120
    """Minimum latency. A sender that requests more gets more."""
    silence_ms: int = 2_000
    """Time without media after which a publisher is cut. libsrt's own PEERIDLETIMEO is too slow:
    it also waits for 16 intervals of 300 ms, so a killed caller is noticed after 4.9 s or more,
    however low the option is."""
    takeover_ms: int = 800
    """Time without media after which a new publisher may replace the present one."""
    max_connections: int = 2_000
    """Maximum of connections that have not ended plus handshakes in flight."""
    max_unaccepted: int = 32
    """Maximum of connections that wait for :meth:`~.listener.SrtListener.accept`."""
    queue_bytes: int = 4 << 20
    """Received bytes of one connection that wait to be read, at which its reading pauses."""
    lookup_wait_ms: int = 80
    """Maximum time that the handshake of an unknown stream waits for its lookup."""
