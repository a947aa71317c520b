"""The timeline as MPEG-TS, as foreign tools read it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from sluice_media.contract import TimelineFormat
from sluice_media.formats.units import TrackFormat
from sluice_media.hub.output.ts_view import TsView
from sluice_media.timeline.framing import encode, track_infos
from tests.support.ts_packets import AUDIO, VIDEO, audio, check_counters, packets

SECOND = replace(AUDIO, track=2)


def form(*formats: TrackFormat) -> bytes:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    return encode(
        TimelineFormat(
            timeline="t1",
            epoch=1,
            stream_uid="u",
            session_started_at=start,
            tracks=track_infos(formats),
        )
    )


def test_a_track_that_joins_is_a_new_version_of_the_program_map() -> None:
    view = TsView()
    stream = view.feed(form(VIDEO, SECOND) + encode(replace(audio(0), track=2)))
    both = (audio(1_920), replace(audio(3_840), track=2))
    stream += view.feed(form(VIDEO, AUDIO, SECOND) + b"".join(map(encode, both)))
    check_counters(stream)
    found = list(packets(stream))
    assert [p.payload[6] >> 1 & 0x1F for p in found if p.pid == 0x1000] == [0, 1]
    assert [p.pid for p in found if p.pid > 0x100 and p.pid < 0x1000] == [
        *[0x102] * 2,
        *[0x101] * 2,
        *[0x102] * 2,
    ]
