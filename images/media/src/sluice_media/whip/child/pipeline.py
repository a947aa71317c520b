"""Both tracks together: units from a browser in, framed formats and units for the hub out.

The output begins at the first picture that can be decoded. Pictures are placed on a grid of
constant intervals. When two pictures belong to one place, the later replaces the earlier. An empty
place repeats the picture before it. A track that lags behind the other is filled, with the last
picture or with silence, so that a reader of both tracks does not wait for long.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import av
from av.video.frame import VideoFrame

from sluice_media.contract import TimelineFormat
from sluice_media.formats.codecs.h264 import parse_avcc
from sluice_media.formats.units import (
    TICKS_PER_SECOND,
    AccessUnit,
    Codec,
    TrackFormat,
    TrackKind,
    UnitFlags,
)
from sluice_media.timeline.framing import encode, encode_unit, track_infos
from sluice_media.whip.child.options import Shape, TranscodeOptions
from sluice_media.whip.child.picture import Canvas, PictureDecoder, PictureEncoder, shape_of
from sluice_media.whip.child.sound import SAMPLE_RATE, Sound

VIDEO_TRACK = 0
AUDIO_TRACK = 1
_PATIENCE_TICKS = TICKS_PER_SECOND // 2
"""Maximum lag of a track, beyond which it is filled."""
_MAX_GAP_TICKS = 20 * TICKS_PER_SECOND
"""Maximum gap. Units with a time beyond it are dropped."""
_TICKS_PER_MICROSECOND = TICKS_PER_SECOND / 1e6


class _Output:
    """Clock and encoder of the output. They are made when the first picture has set the shape."""

    def __init__(self, shape: Shape, start: int, options: TranscodeOptions) -> None:
        self.start = start
        self.step = TICKS_PER_SECOND / shape.rate
        self.canvas = Canvas(shape.width, shape.height)
        self.encoder = PictureEncoder(shape, options)
        self.shape = shape
        self.next = 0
        """Number of the next picture."""
        self.last: VideoFrame | None = None

    def number_at(self, pts: int) -> int:
        """Return the number of the output picture at this time."""
        return int((pts - self.start) // self.step)

    def pts_of(self, number: int) -> int:
        """Return the time of a picture."""
        return self.start + round(number * self.step)


class Pipeline:
    """The pipeline of one session."""

    def __init__(self, options: TranscodeOptions) -> None:
        self._options = options
        self._decoder = PictureDecoder()
        self._sound = Sound(options)
        self._output: _Output | None = None
        self._utc_offset = 0.0
        """Microseconds of UTC at time 0."""

    def feed(self, unit: AccessUnit) -> Iterator[bytes]:
        """Take a unit and yield framed records for the hub."""
        output = self._output
        if output is not None and abs(unit.pts - output.pts_of(output.next)) > _MAX_GAP_TICKS:
            return
        if unit.track == VIDEO_TRACK:
            self._utc_offset = unit.utc_us - unit.pts / _TICKS_PER_MICROSECOND
            yield from self._video(unit)
        elif output is not None:
            yield from self._audio(unit, output)

    # ------------------------------------------------------------------ tracks

    def _video(self, unit: AccessUnit) -> Iterator[bytes]:
        for frame in self._decoder.decode(unit.payload, unit.pts):
            pts = unit.pts if frame.pts is None else frame.pts
            if self._output is None:
                shape = shape_of(frame, self._decoder.declared_rate, self._options)
                self._output = _Output(shape, pts, self._options)
                yield self._format(self._output)
            output = self._output
            number = output.number_at(pts)
            yield from self._repeat(output, number)
            try:
                output.last = output.canvas.fit(frame)
            except av.FFmpegError:
                continue
            if number >= output.next:
                yield from self._picture(output)
            behind = pts - output.start - _PATIENCE_TICKS
            for at, data in self._sound.fill(behind * SAMPLE_RATE // TICKS_PER_SECOND):
                yield self._sound_unit(output, at, data)

    def _audio(self, unit: AccessUnit, output: _Output) -> Iterator[bytes]:
        at = (unit.pts - output.start) * SAMPLE_RATE // TICKS_PER_SECOND
        for begin, data in self._sound.take(unit.payload, at):
            yield self._sound_unit(output, begin, data)
        if unit.pts - output.pts_of(output.next) > _PATIENCE_TICKS:
            yield from self._repeat(output, output.number_at(unit.pts - _PATIENCE_TICKS))

    def _repeat(self, output: _Output, before: int) -> Iterator[bytes]:
        while output.next < before and output.last is not None:
            yield from self._picture(output)

    # ------------------------------------------------------------------ records

    def _picture(self, output: _Output) -> Iterator[bytes]:
        assert output.last is not None
        encoded = output.encoder.encode(output.last, output.next)
        output.next += 1
        for number, payload, keyframe in encoded:
            pts = output.pts_of(number)
            flags = UnitFlags.RANDOM_ACCESS if keyframe else UnitFlags.NONE
            yield encode_unit(AccessUnit(VIDEO_TRACK, pts, pts, flags, self._utc(pts), payload))

    def _sound_unit(self, output: _Output, at: int, data: bytes) -> bytes:
        pts = output.start + at * TICKS_PER_SECOND // SAMPLE_RATE
        return encode_unit(AccessUnit(AUDIO_TRACK, pts, pts, UnitFlags.NONE, self._utc(pts), data))

    def _utc(self, pts: int) -> int:
        return round(pts / _TICKS_PER_MICROSECOND + self._utc_offset)

    def _format(self, output: _Output) -> bytes:
        config = parse_avcc(output.encoder.config)
        video = TrackFormat(
            track=VIDEO_TRACK,
            kind=TrackKind.VIDEO,
            codec=Codec.H264,
            config=output.encoder.config,
            width=config.width,
            height=config.height,
        )
        audio = TrackFormat(
            track=AUDIO_TRACK,
            kind=TrackKind.AUDIO,
            codec=Codec.AAC,
            config=self._sound.config,
            sample_rate=SAMPLE_RATE,
            channels=2,
        )
        return encode(
            TimelineFormat(
                timeline="whip",
                epoch=0,
                stream_uid="",
                session_started_at=datetime.datetime.now(datetime.UTC),
                tracks=track_infos((video, audio)),
            )
        )
