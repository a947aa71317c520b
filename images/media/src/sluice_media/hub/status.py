"""The hub's part of :class:`~sluice_media.contract.IngestStatus`."""

from __future__ import annotations

from typing import Any

from sluice_media.hub.clock import Moment
from sluice_media.hub.hub import Hub
from sluice_media.hub.legs.leg import LegName
from sluice_media.hub.output.failovers import source_kind
from sluice_media.hub.spool.policy import recordable

TICKING = frozenset({"readers"})
"""Fields that change often. A change of these alone publishes no new status version."""


def hub_status(hub: Hub, now: Moment) -> dict[str, Any]:
    """Return the hub's part of the status, by field name."""
    output = hub.output
    timeline = output.timeline
    primary = hub.leg(LegName.PRIMARY)
    # A standby URI of a pulled stream is not a backup leg: the user has not configured one.
    backup = hub.leg(LegName.BACKUP) if hub.config.pull is None else None
    return {
        "on_air": hub.delivering,
        "primary_connected": primary is not None,
        "primary_delivers": primary is not None and primary.delivers,
        "backup_connected": backup is not None,
        "backup_delivers": backup is not None and backup.delivers,
        "active_source": source_kind(hub.active) if hub.active and hub.delivering else None,
        "failovers": output.failovers.count,
        "last_failover": output.failovers.last,
        "format_changes": output.format_changes.count,
        "last_format_change": output.format_changes.last,
        "interrupted": timeline is not None and not hub.delivering,
        "timeline": timeline.id if timeline else None,
        "adopting": hub.config.active and output.adoption.is_expected(now),
        "epoch": timeline.epoch if timeline else 0,
        "session": output.sessions.latest,
        "past_sessions": list(output.sessions.past),
        "recordable": recordable(output.timelines, hub.config),
        "media": output.meter.report(now, hub.active.left_out if hub.active else ""),
        "last_rejection": hub.last_rejection,
        "no_random_access": hub.no_random_access,
        "readers": len(hub.readers),
    }
