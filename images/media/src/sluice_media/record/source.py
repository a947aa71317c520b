"""Where a recorder begins to read: at its creation, at its session, or behind what is held."""

from __future__ import annotations

import aiohttp

from sluice_media.contract import HUB_TOKEN_FILE, RecorderConfig
from sluice_media.pod.config_files import ConfigWatch
from sluice_media.record.plan import Restored
from sluice_media.record.tick import beats_of_a_start
from sluice_media.timeline.reader import Position, TimelineReader

_GOES_ON = frozenset({None, "Split", "ParametersChanged"})
"""Why a file ended on a timeline that goes on."""


def open_timeline(
    session: aiohttp.ClientSession,
    watch: ConfigWatch[RecorderConfig],
    restored: Restored,
    hub_port: int,
) -> TimelineReader:
    """The reader of the configured stream, which may be configured away later."""

    def hub_url() -> str:
        stream = watch.config.stream
        return f"http://{stream.host if stream is not None else 'localhost'}:{hub_port}"

    config, files = watch.config, restored.files
    since, start = config.created_at, None
    if files and files[-1].end_reason in _GOES_ON:
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
        tick=beats_of_a_start(),
    )
