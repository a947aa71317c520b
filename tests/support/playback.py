"""A stream for the tests of playback: records of a timeline, as a hub would number the segments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sluice_media.contract import TimelineEnd, TimelineFormat, TimelineSegment
from sluice_media.formats.mpegts.demux import TsDemuxer
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.play.cutter import Cutter, Event, reference_track
from sluice_media.play.segment import Segment
from sluice_media.play.table import SegmentTable
from sluice_media.timeline.framing import Record, track_infos
from tests.support import clip_store

__all__ = [
    "STARTED",
    "TsClip",
    "cut",
    "format_record",
    "make_ts_clip",
    "parts_of",
    "records",
    "segment_record",
    "table_of",
]

STARTED = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
TICKS = 90_000


@dataclass(slots=True, frozen=True)
class TsClip:
    path: Path
    formats: tuple[TrackFormat, ...]
    units: tuple[AccessUnit, ...]


def make_ts_clip(
    path: Path,
    *,
    seconds: int = 8,
    video: str | None = "libx264",
    rate: str = "25",
    gop: int = 50,
    b_frames: int = 2,
    audio_hz: int | None = 48_000,
    filters: str = "",
) -> TsClip:
    """Encode a test picture and a tone as MPEG-TS, whose times are exact; None leaves one out."""
    command, codecs = [], []
    if video:
        command += ["-f", "lavfi", "-i", f"testsrc2=size=320x180:rate={rate}{filters}"]
        codecs += ["-c:v", video, "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-b:v", "400k"]
        codecs += ["-g", str(gop), "-bf", str(b_frames)]
        keys = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b_frames}"
        quiet = ":log-level=error:open-gop=0" if video == "libx265" else ""
        codecs += ["-x265-params" if video == "libx265" else "-x264-params", keys + quiet]
    if audio_hz:
        command += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate={audio_hz}"]
        codecs += ["-c:a", "aac", "-b:a", "96k", "-ac", "2"]
    clip_store.encode([*command, *codecs, "-t", str(seconds), "-f", "mpegts"], path)
    demuxer = TsDemuxer()
    formats: dict[int, TrackFormat] = {}
    units: list[AccessUnit] = []
    for event in [*demuxer.feed(path.read_bytes()), *demuxer.flush()]:
        if isinstance(event, TrackFormat):
            formats[event.track] = event
        elif isinstance(event, AccessUnit):
            units.append(event)
    return TsClip(path, tuple(formats[track] for track in sorted(formats)), tuple(units))


def format_record(formats: Sequence[TrackFormat], session: str = "5e55") -> TimelineFormat:
    return TimelineFormat(
        timeline=session,
        epoch=1,
        stream_uid="uid",
        session_started_at=STARTED,
        tracks=track_infos(formats),
    )


def segment_record(number: int, first: AccessUnit, **changes: object) -> TimelineSegment:
    values: dict[str, object] = {
        "run": "a1",
        "number": number,
        "dts": first.dts,
        "pts": first.pts,
        "shift": first.pts - first.dts,
        "target_seconds": 4,
        "anchor_dts": 90_000,
        "anchor_utc": STARTED + timedelta(seconds=0.5),
    }
    return TimelineSegment.model_validate(values | changes)


def records(
    formats: Sequence[TrackFormat],
    units: Iterable[AccessUnit],
    *,
    seconds: float = 2,
    number: int = 0,
    ended: bool = True,
    **changes: object,
) -> list[Record | TimelineSegment]:
    """Return the records of a session: the hub's grid of ``seconds``, from segment ``number``."""
    reference = reference_track(formats)
    has_video = reference == 0
    found: list[Record | TimelineSegment] = [format_record(formats)]
    begun: int | None = None
    least = seconds * TICKS * (0.75 if has_video else 1)
    for unit in units:
        can_begin = unit.is_random_access or not has_video
        is_due = begun is None or unit.dts - begun >= least
        if unit.track == reference and can_begin and is_due:
            if begun is None:
                changes.setdefault("shift", unit.pts - unit.dts)
            found.append(segment_record(number, unit, **changes))
            begun, number = unit.dts, number + 1
        found.append(unit)
    if ended:
        found.append(TimelineEnd(reason="Stopped", finished_at=STARTED))
    return found


def cut(found: Iterable[Record | TimelineSegment]) -> list[Event]:
    cutter = Cutter()
    return [event for record in found for event in cutter.feed(record)]


def table_of(
    found: Iterable[Record | TimelineSegment], window_seconds: int = 3_600
) -> SegmentTable:
    table = SegmentTable("5e55", int(STARTED.timestamp() * 1_000_000), window_seconds)
    for event in cut(found):
        table.apply(event)
    return table


def parts_of(segment: Segment, track: int) -> list[bytes]:
    return [part.data or b"" for part in segment.tracks[track].parts]
