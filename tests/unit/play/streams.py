"""Made-up streams for the tests of playback: sources with jitter, B-frames and missing frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from sluice_media.contract import TimelineFormat, TimelineSegment
from sluice_media.formats.units import AccessUnit, TrackFormat, UnitFlags
from sluice_media.timeline.framing import Record
from tests.support.playback import format_record, records, segment_record
from tests.support.ts_samples import AUDIO, AUDIO_44100, HEVC, VIDEO, VIDEO_1080

__all__ = ["AUDIO", "AUDIO_44100", "HEVC", "VIDEO", "VIDEO_1080", "broadcast", "sources", "stream"]

KEY, NONE = UnitFlags.RANDOM_ACCESS, UnitFlags.NONE
FIRST = 90_000
SECOND = 90_000


def pictures(
    count: int, *, frame: float = 3_600, gop: int = 25, first: int = FIRST, b_frames: int = 2
) -> list[AccessUnit]:
    """Return pictures in decoding order; all but keyframes and the last one of a group reorder."""
    found = []
    for i in range(count):
        dts = first + round(i * frame)
        place = i % gop % (b_frames + 1)
        ahead = b_frames + 1 if place == 1 else 0 if place else 1
        pts = first + round((i + (ahead if b_frames else 0)) * frame)
        payload = bytes((i & 0xFF, i >> 8)) * (40 if i % gop == 0 else 5)
        found.append(AccessUnit(0, dts, max(dts, pts), KEY if i % gop == 0 else NONE, i, payload))
    return found


def sounds(
    seconds: float, *, rate: int = 48_000, first: int = FIRST, track: int = 1
) -> list[AccessUnit]:
    count = int(seconds * rate / 1_024)
    times = [first + i * 1_024 * 90_000 // rate for i in range(count)]
    return [AccessUnit(track, t, t, NONE, 0, b"%d:%d" % (track, t)) for t in times]


def broadcast(seconds: float = 8, *, fps: float = 25, rate: int = 48_000) -> list[AccessUnit]:
    """Return regular video with a keyframe each second, and audio, in the order of their DTS."""
    video = pictures(int(seconds * fps), frame=SECOND / fps, gop=round(fps))
    return sorted(video + sounds(seconds, rate=rate), key=lambda unit: unit.dts)


def stream(seconds: float = 8, **changes: Any) -> list[Record | TimelineSegment]:
    return records((VIDEO, AUDIO), broadcast(seconds), **changes)


@st.composite
def sources(draw: st.DrawFn) -> tuple[tuple[TrackFormat, ...], list[AccessUnit]]:
    """Draw the tracks and the units of a source, in the order in which a hub sends them."""
    formats: tuple[TrackFormat, ...]
    formats = draw(st.sampled_from([(VIDEO, AUDIO), (VIDEO, AUDIO_44100), (VIDEO,), (AUDIO,)]))
    seconds = draw(st.integers(4, 8))
    units: list[AccessUnit] = []
    if formats[0] is VIDEO:
        frame = draw(st.sampled_from([SECOND / 25, SECOND * 1_001 / 30_000, SECOND / 50, 6_000]))
        gop = draw(st.integers(12, 60))
        units += pictures(
            int(seconds * SECOND / frame), frame=frame, gop=gop, b_frames=draw(st.integers(0, 3))
        )
    if formats[-1] is not VIDEO:
        first = FIRST + draw(st.integers(-5_000, 20_000))
        units += sounds(seconds, rate=formats[-1].sample_rate, first=first)
    random = draw(st.randoms(use_true_random=False))
    if draw(st.booleans()):  # whole milliseconds, as FLV has them
        units = [_moved(u, u.dts // 90 * 90, u.pts // 90 * 90) for u in units]
    if draw(st.booleans()):  # frames are lost
        units = [u for u in units if u.is_random_access or random.random() > 0.05]
    if draw(st.booleans()):  # audio stops for a while
        begin = FIRST + random.randrange(seconds) * SECOND
        end = begin + random.randrange(1, 5) * SECOND
        units = [u for u in units if u.track == 0 or not begin < u.dts < end or len(formats) < 2]
    assume(any(u.is_random_access or not u.track for u in units) or len(units) > 50)
    delay = draw(st.sampled_from([0, 3_000, 40_000, 150_000]))
    order = {id(u): u.dts + (delay if u.track else 0) + random.randrange(2_000) for u in units}
    arrived = sorted(units, key=lambda u: order[id(u)])
    return formats, _growing(arrived)


def _moved(unit: AccessUnit, dts: int, pts: int) -> AccessUnit:
    return AccessUnit(unit.track, dts, max(dts, pts), unit.flags, unit.utc_us, unit.payload)


def _growing(units: Sequence[AccessUnit]) -> list[AccessUnit]:
    """Restore the DTS order within each track, as every timeline has it."""
    queues = {t: iter(sorted((u for u in units if u.track == t), key=_dts)) for t in (0, 1)}
    return [next(queues[unit.track]) for unit in units]


def _dts(unit: AccessUnit) -> int:
    return unit.dts


def from_segment(
    found: Sequence[Record | TimelineSegment], number: int, *, late: int = 0
) -> list[Record | TimelineSegment]:
    """Return the records that a reader gets who enters at a segment, or ``late`` units behind it:
    the format and the segment in force, then the rest."""
    place = next(
        i
        for i, record in enumerate(found)
        if isinstance(record, TimelineSegment) and record.number == number
    )
    formats = [r for r in found[: place + 1] if isinstance(r, TimelineFormat)]
    return [formats[-1], found[place], *found[place + 1 + late :]]


__all__ += ["format_record", "from_segment", "pictures", "segment_record", "sounds"]
