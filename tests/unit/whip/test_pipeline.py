"""The transcoder's pipeline: the input may change, the output's format does not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av
import pytest
from av.audio.frame import AudioFrame
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from sluice_media.contract import TimelineFormat
from sluice_media.formats.units import AccessUnit, TrackFormat, UnitFlags
from sluice_media.timeline.framing import TimelineDecoder, track_formats
from sluice_media.whip.child.options import Shape, TranscodeOptions
from sluice_media.whip.child.pipeline import AUDIO_TRACK, VIDEO_TRACK, Pipeline

OPTIONS = TranscodeOptions(
    lines=90,
    frame_rate=30,
    video_bitrate_kbps=200,
    audio_bitrate_kbps=64,
    gop_seconds=1,
    threads=1,
    memory_bytes=1 << 30,
    nice=0,
)
START = 900_000
PICTURE = 3_000
SOUND = 1_800
"""Duration of an Opus packet: 20 ms."""


class Camera:
    """A camera with pictures of any size; each size has its own encoder."""

    def __init__(self) -> None:
        self._codecs: dict[tuple[int, int], VideoCodecContext] = {}

    def picture(self, number: int, width: int = 160, height: int = 90) -> AccessUnit:
        codec = self._codecs.get((width, height))
        if codec is None:
            codec = av.CodecContext.create("libx264", "w")
            assert isinstance(codec, VideoCodecContext)
            codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
            codec.time_base, codec.gop_size = Fraction(1, 30), 1_000
            codec.options = {"preset": "ultrafast", "tune": "zerolatency"}
            self._codecs[width, height] = codec
        frame = VideoFrame(width, height, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([number % 200 + 20]) * plane.buffer_size)
        frame.pts = number
        (packet,) = codec.encode(frame)
        pts = START + number * PICTURE
        return AccessUnit(VIDEO_TRACK, pts, pts, UnitFlags.NONE, number * 33_333, bytes(packet))


def microphone(units: int) -> Iterator[AccessUnit]:
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format = 48_000, "stereo", "s16"
    codec.time_base = Fraction(1, 48_000)
    for number in range(units):
        frame = AudioFrame("s16", "stereo", 960)
        frame.sample_rate, frame.pts, frame.time_base = 48_000, number * 960, Fraction(1, 48_000)
        for packet in codec.encode(frame):
            pts = START + number * SOUND
            yield AccessUnit(AUDIO_TRACK, pts, pts, UnitFlags.NONE, number * 20_000, bytes(packet))


class Output:
    def __init__(self, options: TranscodeOptions = OPTIONS) -> None:
        self._pipeline = Pipeline(TranscodeOptions.from_argument(options.to_argument()))
        self._decoder = TimelineDecoder()
        self.formats: list[tuple[TrackFormat, ...]] = []
        self.units: list[AccessUnit] = []

    def feed(self, *units: AccessUnit) -> Output:
        for unit in units:
            for framed in self._pipeline.feed(unit):
                for record in self._decoder.feed(framed):
                    if isinstance(record, TimelineFormat):
                        self.formats.append(track_formats(record.tracks))
                    elif isinstance(record, AccessUnit):
                        self.units.append(record)
        return self

    def times(self, track: int) -> list[int]:
        return [unit.dts for unit in self.units if unit.track == track]


def test_size_and_rate_stay_when_the_browser_changes_its_own() -> None:
    camera, output = Camera(), Output()
    for number in range(20):
        output.feed(camera.picture(number))
    for number in range(20, 40):
        output.feed(camera.picture(number, 80, 46))
    for number in range(40, 60):
        output.feed(camera.picture(number, 64, 128))
    assert [(video.width, video.height) for video, _ in output.formats] == [(160, 90)]
    assert output.times(0) == [START + number * PICTURE for number in range(60)]
    keyframes = [unit.dts for unit in output.units if unit.track == 0 and unit.is_random_access]
    assert keyframes == [START, START + 30 * PICTURE]


def test_small_first_pictures_do_not_make_a_small_stream() -> None:
    output = Output().feed(Camera().picture(0, 80, 60))
    assert [(video.width, video.height) for video, _ in output.formats] == [(120, 90)]


def test_portrait_pictures_stay_portrait() -> None:
    output = Output().feed(Camera().picture(0, 90, 160))
    assert [(video.width, video.height) for video, _ in output.formats] == [(90, 160)]


def test_a_process_that_replaces_another_keeps_its_shape() -> None:
    options = replace(OPTIONS, shape=Shape(96, 64, 25, 1))
    output = Output(options).feed(
        Camera().picture(0),
    )
    assert [(video.width, video.height) for video, _ in output.formats] == [(96, 64)]


def test_nothing_comes_before_the_first_keyframe() -> None:
    camera, output = Camera(), Output()
    pictures = [camera.picture(number) for number in range(5)]
    output.feed(*list(microphone(3)), *pictures[1:])
    assert (output.formats, output.units) == ([], [])
    assert output.feed(pictures[0]).formats


def test_missing_pictures_are_repeated() -> None:
    camera, output = Camera(), Output()
    for number in (0, 1, 2, 7, 8):
        output.feed(camera.picture(number))
    assert output.times(0) == [START + number * PICTURE for number in range(9)]


def test_a_camera_that_stops_freezes_and_the_sound_goes_on() -> None:
    output = Output().feed(Camera().picture(0), *microphone(150))
    pictures, sounds = output.times(0), output.times(1)
    assert 0 < sounds[-1] - pictures[-1] < 60_000
    assert {b - a for a, b in itertools.pairwise(pictures)} == {PICTURE}


def test_a_microphone_that_stops_becomes_silence_and_comes_back() -> None:
    camera, output = Camera(), Output()
    sound = list(microphone(200))
    for number in range(120):
        output.feed(camera.picture(number))
        if not 30 <= number < 80:
            output.feed(*[u for u in sound if 0 <= u.pts - START - number * PICTURE < PICTURE])
    times = output.times(1)
    assert {b - a for a, b in itertools.pairwise(times)} == {1_920}
    assert abs(times[-1] - output.times(0)[-1]) < 20_000


def test_times_increase_even_when_the_senders_do_not() -> None:
    camera, output = Camera(), Output()
    pictures = [camera.picture(number) for number in range(30)]
    sound = list(microphone(40))
    for index in (0, 1, 2, 1, 0, 5, 4, 20, 3, 21):
        output.feed(pictures[index], sound[index], sound[max(0, index - 2)])
    output.feed(replace(pictures[5], pts=1 << 50), replace(sound[5], pts=-(1 << 50)))
    for track in (0, 1):
        times = output.times(track)
        assert times == sorted(set(times))
        assert times[-1] < START + 40 * PICTURE


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"garbage",
        b"\0\0\0\1\x67\xff\xff\xff\xff\0\0\0\1\x65" + bytes(100),
        b"\0\0\0\1\x65" + bytes(range(256)) * 4,
        b"\0\0\1" * 5_000,
    ],
)
def test_hostile_bytes_only_cost_pictures(payload: bytes) -> None:
    camera, output = Camera(), Output()
    output.feed(camera.picture(0))
    bad = camera.picture(1)
    output.feed(replace(bad, payload=payload), replace(bad, track=AUDIO_TRACK, payload=payload))
    output.feed(camera.picture(2), camera.picture(3))
    assert output.times(0)[-1] == START + 3 * PICTURE


def test_an_oversized_picture_never_reaches_the_decoder() -> None:
    camera, output = Camera(), Output()
    output.feed(camera.picture(0, 4_800, 2_700))
    assert output.units == []
