"""MPEG-TS segments from the CMAF parts of the table.

A segment is multiplexed alone, when it is requested. It begins with PAT, PMT and the reference
track's first unit, a keyframe, and has the frames of the CMAF segment with their times modulo 2^33.

Continuity counters begin at 0 in each segment, because a segment's bytes must not depend on the
segments before it. HLS does not demand continuous counters (RFC 8216, 3.2). The first packet of
each track has the discontinuity_indicator, with which ISO/IEC 13818-1 clause 2.4.3.5 allows another
counter, so that a demultiplexer that reads joined segments finds no lost packet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import merge

from sluice_media.formats.cmaf import Sample, read_fragments
from sluice_media.formats.codecs import CodecError
from sluice_media.formats.mpegts import TsMuxer
from sluice_media.formats.units import AccessUnit, TrackFormat, TrackKind, UnitFlags
from sluice_media.play.cutter import reference_track

_FLAGS = {
    (False, False): UnitFlags.NONE,
    (True, False): UnitFlags.RANDOM_ACCESS,
    (False, True): UnitFlags.DISCONTINUITY,
    (True, True): UnitFlags.RANDOM_ACCESS | UnitFlags.DISCONTINUITY,
}
"""Flags by random access and discontinuity."""


def carried_formats(formats: Sequence[TrackFormat]) -> tuple[TrackFormat, ...]:
    """Return the tracks that MPEG-TS can carry. It has no way for some forms of AAC."""
    return tuple(track_format for track_format in formats if _is_carried(track_format))


def ts_segment(
    formats: Sequence[TrackFormat], parts: Mapping[int, Iterable[bytes]], *, shift: int
) -> bytes:
    """Return the MPEG-TS segment with the CMAF parts of each track of one segment.

    ``shift`` is that of the segment. A track may have no part. Raises ForeignFragment for parts
    that this project did not write, and CodecError for a frame that does not fit MPEG-TS.
    """
    carried = carried_formats(formats)
    if not carried:
        raise CodecError("MPEG-TS can carry no track of the segment")
    muxer = TsMuxer(carried)
    reference = reference_track(carried)
    units = {
        f.track: _units(f, parts.get(f.track, ()), shift, is_reference=f.track == reference)
        for f in carried
    }
    first = units[reference][:1]
    rest = [units[reference][1:], *(u for track, u in units.items() if track != reference)]
    ordered = [*first, *merge(*rest, key=lambda unit: unit.dts)]
    return b"".join(muxer.write(unit, with_psi=unit is ordered[0]) for unit in ordered)


def _is_carried(track_format: TrackFormat) -> bool:
    try:
        TsMuxer((track_format,))
    except CodecError:
        return False
    return True


def _units(
    track_format: TrackFormat, parts: Iterable[bytes], shift: int, *, is_reference: bool
) -> list[AccessUnit]:
    is_video = track_format.kind is TrackKind.VIDEO
    samples: list[Sample] = []
    for part in parts:
        for found in read_fragments(part, is_video=is_video, shift=shift):
            samples += found.samples
    return [
        AccessUnit(
            track_format.track,
            sample.dts,
            sample.pts,
            _FLAGS[(sample.is_sync and is_reference, index == 0)],
            0,
            sample.payload,
        )
        for index, sample in enumerate(samples)
    ]
