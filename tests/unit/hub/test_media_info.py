"""The media in the status is measured, and does not change the status with every picture."""

from sluice_media.contract import Media
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.hub.clock import Moment
from sluice_media.hub.output.media_info import MediaMeter, describe
from tests.support.hub_world import AUDIO, VIDEO, VIDEO_1080


def feed(meter: MediaMeter, seconds: float, *, first: int = 0, frame: int = 3_000) -> int:
    """30 pictures a second of 2,500 bytes: 600 kb/s."""
    count = int(seconds * 90_000 / frame)
    for number in range(count):
        dts = first + number * frame
        meter.add(AccessUnit(0, dts, dts, UnitFlags.NONE, 0, bytes(2_500)))
    return first + count * frame


def moment(seconds: float) -> Moment:
    return Moment(seconds, round(seconds * 1_000_000))


def test_rate_and_bit_rate_over_the_last_five_seconds() -> None:
    meter = MediaMeter()
    meter.take_formats((VIDEO, AUDIO))
    assert meter.frame_rate is None
    assert meter.bitrate_kbps is None
    after = feed(meter, 10)
    assert meter.frame_rate == 30
    assert meter.bitrate_kbps in range(595, 610)
    feed(meter, 10, first=after, frame=1_500)
    assert meter.frame_rate == 60
    assert meter.bitrate_kbps in range(1_190, 1_215)


def test_tracks_are_told_at_once_and_figures_only_when_they_really_change() -> None:
    meter = MediaMeter()
    assert meter.report(moment(0)) is None
    meter.take_formats((VIDEO, AUDIO))
    first = meter.report(moment(0))
    assert first == Media(video_codec="h264", audio_codec="aac", width=1280, height=720)
    after = feed(meter, 6)
    measured = meter.report(moment(6))
    assert measured is not None
    assert measured.frame_rate == 30
    after = feed(meter, 6, first=after, frame=2_990)
    assert meter.report(moment(30)) is measured
    feed(meter, 6, first=after, frame=1_500)
    assert meter.report(moment(31)) is not measured
    meter.take_formats((VIDEO_1080,))
    changed = meter.report(moment(31.1))
    assert changed is not None
    assert (changed.width, changed.audio_codec) == (1920, None)


def test_tracks_in_words() -> None:
    assert describe((VIDEO_1080, AUDIO)) == "h264 1920x1080, aac 48000 Hz"
    assert describe((AUDIO,)) == "aac 48000 Hz"
