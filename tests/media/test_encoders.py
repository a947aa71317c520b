"""Encoders and their habits, at a real gateway before a real hub: every frame comes out once."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from sluice_media.formats.flv import FlvMuxer, FlvTag, TagType, metadata_payload
from sluice_media.formats.mpegts.demux import TsDemuxer
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind
from sluice_media.protocols.rtmp import ClientSession, MessageType
from tests.support.broadcast_rig import KEY, BroadcastRig, Received, broadcast_rig
from tests.support.gateway_rig import until
from tests.support.media_clips import Clip, make_clip
from tests.support.rtmp import media_message
from tests.support.rtmp_encoder import flv_tags, later, send_tags

# The processes of one rig serve all tests: their start costs more than most of the tests.
pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAM_KEY = f"news?{KEY}"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return make_clip(tmp_path_factory.mktemp("encoders") / "clip.flv", seconds=4, gop=25)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BroadcastRig]:
    async with broadcast_rig(tmp_path_factory.mktemp("rig")) as rig:
        yield rig


@pytest_asyncio.fixture(loop_scope="module")
async def rig(running: BroadcastRig) -> BroadcastRig:
    """The rig of all tests, after the session of the former test."""
    await running.until(lambda status: not (status.on_air or status.interrupted))
    return running


def sent(clip: Clip, track: int) -> list[bytes]:
    return [u.payload for u in clip.units if u.track == track]


async def has_all_of(received: Received, clip: Clip) -> None:
    """Every picture, and all sound but what is older than the first picture."""
    await until(lambda: len(received.payloads(0)) >= len(sent(clip, 0)), 30)
    await until(lambda: received.payloads(1)[-1:] == sent(clip, 1)[-1:])
    assert received.payloads(0) == sent(clip, 0)
    sound = received.payloads(1)
    assert sound == sent(clip, 1)[-len(sound) :]
    assert len(sound) >= len(sent(clip, 1)) - 3


@pytest.mark.parametrize("chunk_bytes", [128, 1_024, 4_096, 65_536])
async def test_any_chunk_size_in_the_order_of_obs(
    rig: BroadcastRig, clip: Clip, chunk_bytes: int
) -> None:
    async with rig.reading() as received:
        tags = flv_tags(clip.path)
        await send_tags(rig.rtmp_port, STREAM_KEY, tags, chunk_bytes=chunk_bytes)
        await has_all_of(received, clip)


async def test_ffmpeg(rig: BroadcastRig, clip: Clip) -> None:
    source = ("-readrate", "4", "-i", str(clip.path), "-c", "copy", "-f", "flv")
    async with rig.reading() as received:
        assert await rig.publish("ffmpeg", "-v", "error", *source, rig.url) == (0, "")
        await has_all_of(received, clip)
    assert KEY not in rig.logs()


def gstreamer_has(element: str) -> bool:
    inspect = shutil.which("gst-inspect-1.0")
    return inspect is not None and not subprocess.run([inspect, "--exists", element]).returncode


@pytest.mark.parametrize("sink", ["rtmpsink", "rtmp2sink"])
async def test_gstreamer(rig: BroadcastRig, clip: Clip, sink: str) -> None:
    if not gstreamer_has(sink) or not gstreamer_has("flvdemux"):
        pytest.skip(f"GStreamer's {sink} is not installed")
    location = rig.url + " live=1" if sink == "rtmpsink" else rig.url
    pipeline = (
        f"filesrc location={clip.path} ! flvdemux name=d  "
        "d.video ! queue ! h264parse ! video/x-h264,stream-format=avc ! m.  "
        "d.audio ! queue ! aacparse ! m.  "
        f'flvmux name=m streamable=true ! {sink} location="{location}" sync=true'
    )
    async with rig.reading() as received:
        code, said = await rig.publish("sh", "-c", f"exec gst-launch-1.0 -q -e {pipeline}")
        assert code == 0, said
        await has_all_of(received, clip)


async def test_ffmpeg_over_tls(rig: BroadcastRig, clip: Clip) -> None:
    source = ("-readrate", "4", "-i", str(clip.path), "-c", "copy", "-f", "flv")
    accepted = "sluice_gateway_publishes_accepted_total"
    before = (await rig.gateway_metrics()).get(accepted, 0)
    async with rig.reading() as received:
        assert await rig.publish("ffmpeg", "-v", "error", *source, rig.rtmps_url) == (0, "")
        await has_all_of(received, clip)
        assert (await rig.gateway_metrics())[accepted] == before + 1
    assert KEY not in rig.logs()


async def test_ffmpeg_is_told_over_tls_that_its_key_is_wrong(rig: BroadcastRig, clip: Clip) -> None:
    source = ("-i", str(clip.path), "-c", "copy", "-f", "flv")
    wrong = rig.rtmps_url.replace(KEY, "wrong")
    code, said = await rig.publish("ffmpeg", "-v", "error", *source, wrong)
    assert code != 0
    assert "BadKey" in said


async def test_gstreamer_over_tls(rig: BroadcastRig, clip: Clip) -> None:
    pipeline = (
        f"filesrc location={clip.path} ! flvdemux name=d  "
        "d.video ! queue ! h264parse ! video/x-h264,stream-format=avc ! m.  "
        "d.audio ! queue ! aacparse ! m.  flvmux name=m streamable=true ! "
        f'rtmp2sink location="{rig.rtmps_url}" tls-validation-flags=0 sync=true'
    )
    async with rig.reading() as received:
        code, said = await rig.publish("sh", "-c", f"exec gst-launch-1.0 -q -e {pipeline}")
        assert code == 0, said
        await has_all_of(received, clip)


async def has_all_pictures_of(received: Received, clip: Clip) -> None:
    """By count: another container delimits access units in its own way."""
    pictures, sounds = len(sent(clip, 0)), len(sent(clip, 1))
    await until(lambda: len(received.payloads(0)) >= pictures, 30)
    await until(lambda: len(received.payloads(1)) >= sounds - 4)
    assert len(received.payloads(0)) == pictures


async def test_ffmpeg_over_srt(rig: BroadcastRig, clip: Clip) -> None:
    source = ("-re", "-i", str(clip.path), "-c", "copy", "-f", "mpegts")
    url = rig.srt_url + "&pkt_size=1316&linger=2"
    async with rig.reading() as received:
        code, said = await rig.publish("ffmpeg", "-v", "error", *source, url)
        assert code == 0, said
        await has_all_pictures_of(received, clip)
    assert KEY not in rig.logs()


async def test_gstreamer_over_srt(rig: BroadcastRig, clip: Clip) -> None:
    pipeline = (
        f"filesrc location={clip.path} ! flvdemux name=d  "
        "d.video ! queue ! h264parse config-interval=-1 ! m.  d.audio ! queue ! aacparse ! m.  "
        f'mpegtsmux name=m alignment=7 ! srtsink uri="srt://127.0.0.1:{rig.srt_port}" '
        f'streamid="ns/{STREAM_KEY}" mode=caller sync=true wait-for-connection=true'
    )
    async with rig.reading() as received:
        publishing = asyncio.create_task(
            rig.publish("sh", "-c", f"exec gst-launch-1.0 -q -e {pipeline}")
        )
        try:
            # It forgets what its socket still holds when its input ends.
            await until(lambda: len(received.payloads(0)) >= len(sent(clip, 0)) * 3 // 4, 60)
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
        times = [u.dts for u in received.units if u.track == 0]
        assert {b - a for a, b in pairwise(times)} == {3_600}


async def test_metadata_that_comes_late_and_twice(rig: BroadcastRig, clip: Clip) -> None:
    metadata, *media = flv_tags(clip.path)
    tags = [*media[:60], metadata, *media[60:120], metadata, *media[120:]]
    async with rig.reading() as received:
        await send_tags(rig.rtmp_port, STREAM_KEY, tags)
        await has_all_of(received, clip)
        assert len(received.formats) <= 2


async def test_no_metadata_at_all(rig: BroadcastRig, clip: Clip) -> None:
    media = [tag for tag in flv_tags(clip.path) if tag.type_id != TagType.SCRIPT]
    async with rig.reading() as received:
        await send_tags(rig.rtmp_port, STREAM_KEY, media)
        await has_all_of(received, clip)


async def test_audio_that_is_declared_and_never_comes(rig: BroadcastRig, clip: Clip) -> None:
    declared = (
        TrackFormat(0, TrackKind.VIDEO, Codec.H264, b"", 640, 360),
        TrackFormat(1, TrackKind.AUDIO, Codec.AAC, b"", sample_rate=48_000, channels=2),
    )
    pictures = [tag for tag in flv_tags(clip.path) if tag.type_id == TagType.VIDEO]
    tags = [FlvTag(TagType.SCRIPT, 0, metadata_payload(declared)), *pictures]
    async with rig.reading() as received:
        await send_tags(rig.rtmp_port, STREAM_KEY, tags)
        await until(lambda: len(received.payloads(0)) >= len(sent(clip, 0)))
        assert received.payloads(0) == sent(clip, 0)


async def test_sound_alone_after_metadata_that_declares_pictures(
    rig: BroadcastRig, clip: Clip
) -> None:
    tags = [tag for tag in flv_tags(clip.path) if tag.type_id != TagType.VIDEO]
    async with rig.reading() as received:
        await send_tags(rig.rtmp_port, STREAM_KEY, tags, speed=1)
        await until(lambda: len(received.payloads(1)) >= len(sent(clip, 1)))
        assert received.payloads(1) == sent(clip, 1)


async def test_another_picture_size_in_mid_stream(
    rig: BroadcastRig, clip: Clip, tmp_path: Path
) -> None:
    small = make_clip(tmp_path / "small.flv", seconds=2, video="320x180", gop=25)
    tags = [*flv_tags(clip.path), *later(flv_tags(small.path)[1:], 4_000)]
    async with rig.reading() as received:
        await send_tags(rig.rtmp_port, STREAM_KEY, tags)
        whole = sent(clip, 0) + sent(small, 0)
        await until(lambda: len(received.payloads(0)) >= len(whole))
        assert received.payloads(0) == whole
        widths = [form.tracks[0].width for form in received.formats if form.tracks]
        assert (widths[0], widths[-1]) == (640, 320)
        assert len({form.timeline for form in received.formats}) == 1


async def test_a_clock_that_passes_2_to_the_32_milliseconds(rig: BroadcastRig, clip: Clip) -> None:
    tags = later(flv_tags(clip.path), 2**32 - 2_000)
    async with rig.reading() as received:
        await send_tags(rig.rtmp_port, STREAM_KEY, tags)
        await has_all_of(received, clip)
        times = [u.dts for u in received.units if u.track == 0]
        assert {b - a for a, b in pairwise(times)} == {3_600}


async def test_hevc_in_enhanced_rtmp(rig: BroadcastRig, tmp_path: Path) -> None:
    source = tmp_path / "hevc.ts"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"]
    command += ["-t", "2", "-c:v", "libx265", "-preset", "ultrafast", "-g", "25"]
    command += ["-x265-params", "log-level=none:bframes=2", "-f", "mpegts", str(source)]
    subprocess.run(command, check=True, timeout=60)
    demuxer = TsDemuxer()
    events = [*demuxer.feed(source.read_bytes()), *demuxer.flush()]
    units = [event for event in events if isinstance(event, AccessUnit)]
    muxer = FlvMuxer()
    tags = muxer.start(demuxer.formats)
    tags += [tag for unit in units if (tag := muxer.unit(unit)) is not None]
    async with rig.reading() as received:
        await send_tags(rig.rtmp_port, STREAM_KEY, tags)
        await until(lambda: len(received.payloads(0)) >= len(units))
        assert received.payloads(0) == [unit.payload for unit in units]
        (track,) = received.formats[-1].tracks
        assert (track.codec, track.width, track.height) == ("hevc", 320, 180)
        offsets = [unit.pts - unit.dts for unit in received.units]
        assert offsets == [unit.pts - unit.dts for unit in units]


@pytest.mark.parametrize("fourcc", [b"av01", b"vp09"])
async def test_what_is_not_carried_is_refused_with_a_sentence(
    rig: BroadcastRig, fourcc: bytes
) -> None:
    session = ClientSession(app="ns", tc_url="rtmp://127.0.0.1/ns", stream_key=STREAM_KEY)
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.rtmp_port)
    try:
        heard: list[object] = []
        writer.write(session.take_output())
        async with asyncio.timeout(30):
            while data := await reader.read(65_536):
                asked = not session.accepted
                heard += session.feed(data)
                writer.write(session.take_output())
                if asked and session.accepted:
                    header = b"\x90" + fourcc + bytes(20)
                    writer.write(media_message(session, MessageType.VIDEO, 0, header))
    finally:
        writer.close()
    assert f"UnsupportedCodec: The video is {fourcc.decode()}; Sluice takes" in str(heard[-1])
    rejection = (await rig.status()).last_rejection
    assert rejection is not None
    assert rejection.reason == "UnsupportedCodec"


async def test_of_many_tracks_the_first_is_taken(rig: BroadcastRig, clip: Clip) -> None:
    def many(tag: FlvTag) -> FlvTag:
        """The picture as track 0 of two, as Enhanced RTMP has it (ManyTracks)."""
        if tag.type_id != TagType.VIDEO or tag.payload[0] & 0xF != 7:
            return tag
        head = bytes((0x80 | tag.payload[0] & 0x70 | 6, 0x10 | (0 if not tag.payload[1] else 1)))
        body = tag.payload[5:] if not tag.payload[1] else tag.payload[2:]
        tracks = b"".join(
            bytes((number,)) + len(data).to_bytes(3, "big") + data
            for number, data in ((1, b"another rendition"), (0, body))
        )
        return replace(tag, payload=head + b"avc1" + tracks)

    async with rig.reading() as received:
        # The end of sequence (packet type 2) has no place among the tracks.
        tags = [t for t in flv_tags(clip.path) if t.type_id != TagType.VIDEO or t.payload[1] != 2]
        await send_tags(rig.rtmp_port, STREAM_KEY, [many(tag) for tag in tags])
        await has_all_of(received, clip)
