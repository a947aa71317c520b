"""What libsrt counts about one connection (``srt_bistats``)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class SrtStats:
    """Counters since the connection was made; packets are data packets."""

    rtt_ms: float
    packets_received: int
    send_losses: int
    """Packets that the peer reported as lost."""
    receive_losses: int
    """Packets that were missing at first."""
    receive_retransmitted: int
    """Packets that came again."""
    receive_dropped: int
    """Packets that came too late, or never: holes in the stream."""
    send_dropped: int
    """Packets given up before they were delivered."""
    undecrypted: int
    send_buffer_ms: int
    """What waits to be acknowledged, as a time span."""
    send_buffer_bytes: int = 0
    """What waits to be acknowledged."""
    peer_delay_ms: int = 0
    """How long the peer keeps a packet before its application gets it: the latency agreed upon."""
    send_dropped_bytes: int = 0
    """Given up before they were delivered."""
