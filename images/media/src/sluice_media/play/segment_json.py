"""JSON form of a segment without its bytes: for the disk, and for another pod of the stream.

A part is a list of its start, duration, size, and 1 when decoding can start at it. The bytes of the
parts stand one after the other wherever they are kept.
"""

from __future__ import annotations

from typing import Any

from sluice_media.play.segment import Part, Period, Segment, TrackSegment

_NUMBERS = (
    "number",
    "dts",
    "pts",
    "format_number",
    "shift",
    "target_seconds",
    "anchor_dts",
    "anchor_us",
    "reference",
)


class BrokenSegment(ValueError):  # noqa: N818  the name says what the JSON is
    """The JSON is not a segment of this project."""


def segment_to_json(segment: Segment) -> dict[str, Any]:
    """Return a segment as JSON values."""
    period = segment.period
    return {
        **{name: getattr(segment, name) for name in _NUMBERS},
        "run": segment.run,
        "period": [period.number, period.start] if period else None,
        "tracks": {
            str(number): {
                "closed": track.is_closed,
                "parts": [
                    [part.start, part.duration, part.size, int(part.is_independent)]
                    for part in track.parts
                ],
            }
            for number, track in segment.tracks.items()
        },
    }


def segment_from_json(value: object) -> Segment:
    """Return the segment, whose parts have no bytes. Raises :class:`BrokenSegment`."""
    try:
        return _segment(value)
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        raise BrokenSegment(f"the JSON is not a segment: {wrong!r}") from wrong


def _segment(value: Any) -> Segment:
    tracks = {int(number): _track(track) for number, track in value["tracks"].items()}
    numbers = {name: _integer(value[name]) for name in _NUMBERS}
    if numbers["reference"] not in tracks:
        raise ValueError("it has no reference track")
    period = value["period"]
    return Segment(
        **numbers,
        run=str(value["run"]),
        tracks=tracks,
        period=None if period is None else Period(*map(_integer, period)),
    )


def _track(value: Any) -> TrackSegment:
    track = TrackSegment(is_closed=value["closed"] is True)
    for start, duration, size, is_independent in value["parts"]:
        track.append(
            Part(
                _integer(start),
                _integer(duration),
                _integer(size),
                _integer(is_independent) == 1,
                None,
            )
        )
    return track


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not an integer")
    return value
