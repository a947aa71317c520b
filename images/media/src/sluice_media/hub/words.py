"""What the pod says of its hub: the :class:`~sluice_media.contract.IngestStatus`."""

from __future__ import annotations

from typing import Any

from sluice_media.hub.clock import Moment, datetime_of
from sluice_media.hub.hub import Hub
from sluice_media.hub.leg import LegName

__all__ = ["TICKING", "status_words"]

TICKING = frozenset({"ring_start", "readers"})
"""Fields that move all the time and wake nobody."""


def status_words(hub: Hub, now: Moment) -> dict[str, Any]:
    """The hub's part of the status, by the names of its fields."""
    output = hub.output
    timeline = output.timeline
    primary = hub.leg(LegName.PRIMARY)
    oldest = timeline.ring.oldest if timeline else None
    return {
        "on_air": hub.delivering,
        "primary_connected": primary is not None,
        "primary_delivers": primary is not None and primary.delivers,
        "interrupted": timeline is not None and not hub.delivering,
        "timeline": timeline.id if timeline else None,
        "epoch": timeline.epoch if timeline else 0,
        "session": output.sessions.latest,
        "past_sessions": list(output.sessions.past),
        "media": output.meter.report(now),
        "last_rejection": hub.last_rejection,
        "no_random_access": hub.no_random_access,
        "ring_start": datetime_of(oldest.utc_us) if oldest else None,
        "readers": len(hub.readers),
    }
