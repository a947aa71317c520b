"""The start of a recorder's reading: its creation, its session, or the end of what it holds."""

from __future__ import annotations

import aiohttp

from sluice_media.contract import HUB_TOKEN_FILE, FileEndReason, RecorderConfig
from sluice_media.pod.config_files import ConfigWatch
from sluice_media.record.plan import Restored
from sluice_media.record.tick import ticks_at_start
from sluice_media.timeline.reader import Position, TimelineReader

_CONTINUES = frozenset({None, FileEndReason.SPLIT, FileEndReason.PARAMETERS_CHANGED})
"""End reasons of a file after which its timeline continues."""


def open_timeline(
    session: aiohttp.ClientSession,
    watch: ConfigWatch[RecorderConfig],
    restored: Restored,
    hub_port: int,
) -> TimelineReader:
    """Return a reader of the configured stream. The configuration may lose its stream later."""

    def hub_url() -> str:
        stream = watch.config.stream
        return f"http://{stream.host if stream is not None else 'localhost'}:{hub_port}"

    config, files = watch.config, restored.files
    since, start = config.created_at, None
    if files and files[-1].end_reason in _CONTINUES:
        start = Position(files[-1].timeline, dict(files[-1].last_dts))
    elif files:
        since = files[-1].ended_at or since
    return TimelineReader(
        session,
        url=hub_url,
        token=lambda: watch.key(HUB_TOKEN_FILE),
        reader=config.uid,
        role="recorder",
        since=since,
        session_started_at=config.session_started_at,
        start=start,
        tick=ticks_at_start(),
    )
