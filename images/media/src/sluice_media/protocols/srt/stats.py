"""Counters of one connection (``srt_bistats``)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class SrtStats:
    """Counters since the connection was made. Packets are data packets."""

    rtt_ms: float
    """Smoothed round trip time."""
    packets_received: int
    send_losses: int
    """Packets that the peer reported as lost."""
    receive_losses: int
    """Packets that were missing when a later one arrived."""
    receive_retransmitted: int
    """Packets that the sender sent again."""
    receive_dropped: int
    """Packets that came too late or never: holes in the stream."""
    send_dropped: int
    """Packets that were dropped before they were delivered."""
    undecrypted: int
    """Packets that could not be decrypted."""
    send_buffer_ms: int
    """Duration of the media that waits to be acknowledged."""
    send_buffer_bytes: int = 0
    """Size of the media that waits to be acknowledged."""
    peer_delay_ms: int = 0
    """Negotiated latency: the time for which the peer holds a packet before its application
    receives it."""
    send_dropped_bytes: int = 0
    """Bytes that were dropped before they were delivered."""
