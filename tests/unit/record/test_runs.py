"""Units that come in batches are recorded as if each had come alone."""

from __future__ import annotations

import math
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from sluice_media.contract import TimelineFormat, TimelineGap, TimelineHeartbeat
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.record.effects import BeginFile, Changed, Effect, EndFile, Rules, Write
from sluice_media.record.machine import RecorderMachine
from sluice_media.record.plan import Restored
from sluice_media.timeline.framing import Record
from sluice_media.timeline.reader import HubBack, HubLost
from tests.unit.record.timeline_script import AUDIO, FRAME, OTHER_VIDEO, START, VIDEO

Heard = Record | HubLost | HubBack


def form(*tracks: object, timeline: str = "t1") -> TimelineFormat:
    return TimelineFormat.model_validate(
        {
            "timeline": timeline,
            "epoch": 1,
            "stream_uid": "",
            "session_started_at": START,
            "tracks": tracks,
        }
    )


@st.composite
def timelines(draw: st.DrawFn) -> list[Heard]:
    records: list[Heard] = [HubBack(0.0), form(VIDEO, AUDIO)]
    dts = 0
    for step in draw(st.lists(st.integers(0, 30), min_size=1, max_size=60)):
        back = 3 * FRAME if step == 0 else 0  # said again, as after a reconnect
        dts += FRAME - back
        flags = UnitFlags.RANDOM_ACCESS if step % 5 == 1 else UnitFlags.NONE
        utc_us = int((START.timestamp() + dts / 90_000) * 1e6)
        records.append(AccessUnit(0, dts, dts, flags, utc_us, b"v"))
        records.append(AccessUnit(1, dts - 100, dts - 100, UnitFlags.NONE, utc_us, b"a"))
        if step == 26:
            records.append(TimelineGap(dts=dts + FRAME, wall_seconds=1.0))
        elif step == 27:
            records += [HubLost(0.0, "test"), HubBack(0.0), form(VIDEO, AUDIO)]
        elif step == 28:
            records.append(form(OTHER_VIDEO, AUDIO))
        elif step == 29:
            records.append(TimelineHeartbeat(session=True, delivering=False))
        elif step == 30:
            dts += 3 * 90_000
    return records


def flat(effects: list[Effect]) -> list[object]:
    found: list[object] = []
    for effect in effects:
        match effect:
            case Write(file=file, units=units):
                found += [(file.index, unit.track, unit.dts) for unit in units]
            case BeginFile(file=file) | EndFile(file=file) | Changed(file=file):
                found.append((type(effect).__name__, file.index))
            case _:
                found.append(effect)
    return found


@given(
    timelines(),
    st.lists(st.integers(1, 40), min_size=1),
    st.sampled_from([0.4, 1.0, 14_400.0]),
    st.sampled_from([None, 0.5, 1.3]),
    st.sampled_from([math.inf, 20]),
)
def test_batches_and_single_records_come_to_the_same(
    records: list[Heard],
    cuts: list[int],
    split_seconds: float,
    longest: float | None,
    split_bytes: float,
) -> None:
    rules = Rules(
        START,
        split_seconds=split_seconds,
        split_bytes=split_bytes,
        max_duration_seconds=longest,
    )
    now = START + timedelta(seconds=5)
    alone, batched = (RecorderMachine(rules, Restored(), START) for _ in range(2))
    one_by_one: list[Effect] = []
    for record in records:
        one_by_one += alone.records([record], now)
    together: list[Effect] = []
    at = turn = 0
    while at < len(records):
        size = cuts[turn % len(cuts)]
        together += batched.records(records[at : at + size], now)
        at, turn = at + size, turn + 1
    assert flat(together) == flat(one_by_one)
    assert [f.entry() for f in batched.files] == [f.entry() for f in alone.files]
    assert batched.duration_seconds == alone.duration_seconds
    assert batched.phase is alone.phase
