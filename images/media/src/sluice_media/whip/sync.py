"""One clock for sound and pictures (pure): RTP timestamps in, 90 kHz times out.

Each track's RTP clock begins at a random value. At first, the arrival of packets ties it to our
clock. Then sender reports (RFC 3550 section 6.4.1), which relate both tracks' RTP times to the
sender's own clock, align the sound with the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice_media.formats.units import TICKS_PER_SECOND, TrackKind

_ORIGIN_TICKS = 10 * TICKS_PER_SECOND
"""Time of the first packet. A packet that is older than the first still has a positive time."""
_MAX_CORRECTION_SECONDS = 2.0
"""Maximum difference between sender reports and arrival. Reports beyond it are ignored."""
_MAX_DRIFT_SECONDS = 5.0
"""Difference between RTP time and arrival beyond which the RTP clock counts as reset."""
_NOISE_SECONDS = 0.005
"""Difference below which a correction is noise of the reports."""
_HALF = 1 << 31


@dataclass(slots=True)
class _Track:
    """The clock of one track."""

    rate: int
    """RTP ticks per second."""
    last: int | None = None
    """Last RTP time, unwrapped."""
    offset: float = 0.0
    """Our seconds minus RTP seconds."""
    report: tuple[float, float] | None = None
    """Latest sender report: (seconds of the sender's clock, RTP seconds)."""

    def unwrap(self, timestamp: int) -> int:
        if self.last is None:
            return timestamp
        delta = (timestamp - self.last) & 0xFFFFFFFF
        return self.last + (delta - (1 << 32) if delta >= _HALF else delta)


class MediaClock:
    """The clocks of a session's two tracks."""

    def __init__(self, audio_rate: int = 48_000, video_rate: int = 90_000) -> None:
        self._tracks = {TrackKind.AUDIO: _Track(audio_rate), TrackKind.VIDEO: _Track(video_rate)}
        self._start: float | None = None

    def time_of(self, kind: TrackKind, timestamp: int, arrived: float) -> int:
        """Return the time of a frame in 90 kHz ticks.

        ``timestamp`` is RTP's, modulo 2^32. ``arrived`` is in monotonic seconds.
        """
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
        """Take a sender report: its 64-bit NTP time and the RTP time of the same moment."""
        track = self._tracks[kind]
        if track.last is None or not ntp:  # a sender without a clock sends 0
            return
        track.report = (ntp / (1 << 32), track.unwrap(timestamp) / track.rate)
        self._align()

    def _align(self) -> None:
        """Align the sound with the pictures by the latest sender reports."""
        video, audio = self._tracks[TrackKind.VIDEO], self._tracks[TrackKind.AUDIO]
        if video.report is None or audio.report is None:
            return
        (video_ntp, video_rtp), (audio_ntp, audio_rtp) = video.report, audio.report
        aligned = (audio_ntp - video_ntp) + video_rtp + video.offset - audio_rtp
        if _NOISE_SECONDS < abs(aligned - audio.offset) < _MAX_CORRECTION_SECONDS:
            audio.offset = aligned
