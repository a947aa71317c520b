"""Measurement of the media that goes out: picture size, frame rate, bit rate.

In: units that went out. Out: :class:`~sluice_media.contract.Media`, over the last 5 s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sluice_media.contract import Media
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit, TrackFormat, TrackKind
from sluice_media.hub.clock import Moment

WINDOW_SECONDS = 5
_WINDOW_TICKS = WINDOW_SECONDS * TICKS_PER_SECOND
_REPORT_SECONDS = 10.0
"""Minimum interval between two changes of the reported figures."""
_RATE_STEP = 0.02
"""Minimum reported change of the frame rate, as a fraction."""
_BITRATE_STEP = 0.25
"""Minimum reported change of the bit rate, as a fraction."""


class MediaMeter:
    """Sliding sums over the last units. Adding a unit costs O(1)."""

    def __init__(self) -> None:
        self._formats: tuple[TrackFormat, ...] = ()
        self._video: int | None = None
        self._pictures: deque[int] = deque()
        self._units: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._reported: Media | None = None
        self._reported_at = 0.0

    def take_formats(self, formats: Sequence[TrackFormat]) -> None:
        self._formats = tuple(formats)
        self._video = next((f.track for f in formats if f.kind is TrackKind.VIDEO), None)

    def add(self, unit: AccessUnit) -> None:
        """Add a unit with output times, which are continuous over gaps."""
        self._units.append((unit.dts, len(unit.payload)))
        self._bytes += len(unit.payload)
        while unit.dts - self._units[0][0] > _WINDOW_TICKS:
            self._bytes -= self._units.popleft()[1]
        if unit.track != self._video:
            return
        self._pictures.append(unit.dts)
        while unit.dts - self._pictures[0] > _WINDOW_TICKS:
            self._pictures.popleft()

    @property
    def frame_rate(self) -> float | None:
        """Pictures per second of media time, from DTS; None without two pictures."""
        if len(self._pictures) < 2:
            return None
        ticks = self._pictures[-1] - self._pictures[0]
        return round((len(self._pictures) - 1) * TICKS_PER_SECOND / ticks, 2)

    @property
    def bitrate_kbps(self) -> int | None:
        """Payload bit rate of all tracks over media time; None before one second of media."""
        if not self._units:
            return None
        ticks = self._units[-1][0] - self._units[0][0]
        if ticks < TICKS_PER_SECOND:
            return None
        return round(self._bytes * 8 * TICKS_PER_SECOND / ticks / 1_000)

    def measured(self, left_out: str = "") -> Media:
        """Return the present figures. ``left_out`` is the codec of audio that is not carried."""
        video = next((f for f in self._formats if f.kind is TrackKind.VIDEO), None)
        audio = next((f for f in self._formats if f.kind is TrackKind.AUDIO), None)
        return Media(
            video_codec=video.codec if video else None,
            audio_codec=audio.codec if audio else None,
            left_out_audio_codec=left_out or None,
            width=video.width or None if video else None,
            height=video.height or None if video else None,
            frame_rate=self.frame_rate,
            bitrate_kbps=self.bitrate_kbps,
        )

    def report(self, now: Moment, left_out: str = "") -> Media | None:
        """Return the figures for the status; None before the first format.

        They are updated at once when the tracks change, otherwise only after a relevant change and
        at most every 10 s. ``left_out`` is the codec of audio that is not carried."""
        if not self._formats:
            return None
        media = self.measured(left_out)
        before = self._reported
        if before is None or _tracks(before) != _tracks(media):
            fresh = True
        else:
            due = now.monotonic - self._reported_at >= _REPORT_SECONDS
            appeared = (before.frame_rate is None and media.frame_rate is not None) or (
                before.bitrate_kbps is None and media.bitrate_kbps is not None
            )
            fresh = appeared or (due and _differs(before, media))
        if fresh:
            self._reported, self._reported_at = media, now.monotonic
        return self._reported


def describe(formats: Sequence[TrackFormat]) -> str:
    """Return a short description of the tracks, for a session's entry in the status."""
    tracks = []
    for f in formats:
        if f.kind is TrackKind.VIDEO:
            tracks.append(f"{f.codec} {f.width}x{f.height}" if f.width else str(f.codec))
        else:
            tracks.append(f"{f.codec} {f.sample_rate} Hz" if f.sample_rate else str(f.codec))
    return ", ".join(tracks)


def _tracks(media: Media) -> tuple[object, ...]:
    return (
        media.video_codec,
        media.audio_codec,
        media.left_out_audio_codec,
        media.width,
        media.height,
    )


def _differs(before: Media, now: Media) -> bool:
    return _moved(before.frame_rate, now.frame_rate, _RATE_STEP) or _moved(
        before.bitrate_kbps, now.bitrate_kbps, _BITRATE_STEP
    )


def _moved(before: float | None, now: float | None, step: float) -> bool:
    if before is None or now is None:
        return before is not now
    return abs(now - before) > step * max(before, now)
