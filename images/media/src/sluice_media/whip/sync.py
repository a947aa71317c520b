"""One clock for sound and pictures (pure): RTP timestamps in, 90 kHz times out.

Each track's RTP clock begins anywhere. Arrival ties it to our clock at first; sender reports (RFC
3550 section 6.4.1), which tell both tracks' RTP times in the sender's own clock, then tie the
sound to the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice_media.formats.units import TICKS_PER_SECOND, TrackKind

_ORIGIN_TICKS = 10 * TICKS_PER_SECOND
"""Time of the first packet; what turns out to be older still has a positive time."""
_MAX_CORRECTION_SECONDS = 2.0
"""Sender reports that contradict arrival by more than this are not believed."""
_MAX_DRIFT_SECONDS = 5.0
"""An RTP clock that runs away from arrival by more than this has been set anew."""
_SETTLED_SECONDS = 0.005
"""Smaller corrections are noise of the reports."""
_HALF = 1 << 31


@dataclass(slots=True)
class _Track:
    rate: int
    last: int | None = None
    """Unwrapped RTP time."""
    offset: float = 0.0
    """Our seconds minus RTP seconds."""
    report: tuple[float, float] | None = None
    """The sender's seconds, and RTP seconds, of the latest sender report."""

    def unwrap(self, timestamp: int) -> int:
        if self.last is None:
            return timestamp
        delta = (timestamp - self.last) & 0xFFFFFFFF
        return self.last + (delta - (1 << 32) if delta >= _HALF else delta)


class MediaClock:
    def __init__(self, audio_rate: int = 48_000, video_rate: int = 90_000) -> None:
        self._tracks = {TrackKind.AUDIO: _Track(audio_rate), TrackKind.VIDEO: _Track(video_rate)}
        self._start: float | None = None

    def time_of(self, kind: TrackKind, timestamp: int, arrived: float) -> int:
        """Time of a frame in 90 kHz ticks. ``timestamp`` is RTP's, modulo 2^32; ``arrived``
        monotonic seconds."""
        if self._start is None:
            self._start = arrived
        track = self._tracks[kind]
        first = track.last is None
        track.last = track.unwrap(timestamp)
        seconds = track.last / track.rate
        ours = arrived - self._start
        if first or abs(seconds + track.offset - ours) > _MAX_DRIFT_SECONDS:
            track.offset = ours - seconds
            track.report = None
        return _ORIGIN_TICKS + round((seconds + track.offset) * TICKS_PER_SECOND)

    def report(self, kind: TrackKind, ntp: int, timestamp: int) -> None:
        """Takes a sender report: its 64-bit NTP time and the RTP time that belongs to it."""
        track = self._tracks[kind]
        if track.last is None or not ntp:  # a sender without a clock says 0
            return
        track.report = (ntp / (1 << 32), track.unwrap(timestamp) / track.rate)
        self._align()

    def _align(self) -> None:
        """Moves the sound to where the sender says it belongs beside the pictures."""
        video, audio = self._tracks[TrackKind.VIDEO], self._tracks[TrackKind.AUDIO]
        if video.report is None or audio.report is None:
            return
        (video_ntp, video_rtp), (audio_ntp, audio_rtp) = video.report, audio.report
        wanted = (audio_ntp - video_ntp) + video_rtp + video.offset - audio_rtp
        if _SETTLED_SECONDS < abs(wanted - audio.offset) < _MAX_CORRECTION_SECONDS:
            audio.offset = wanted
