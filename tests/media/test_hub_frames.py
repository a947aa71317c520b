"""Real media through a real hub, compared frame by frame: what goes in comes out, once."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from sluice_media.contract import TimelineEnd, TimelineFormat, TimelineGap
from sluice_media.formats.flv import FILE_HEADER, TagReader, TagType, encode_tag
from sluice_media.formats.mpegts.mux import TsMuxer
from sluice_media.formats.units import AccessUnit, TrackKind
from sluice_media.timeline.framing import Record, track_formats
from tests.media.test_hub_legs import until
from tests.support.flv_leg import FlvLeg
from tests.support.hub_rig import Rig
from tests.support.media_clips import frame_hashes, make_clip


async def post(rig: Rig, flv: bytes, connection: str) -> None:
    """Sends a whole FLV file as one leg, as fast as it goes, until the hub has read it."""
    async with rig.publisher(connection=connection) as publisher:
        records = FlvLeg().of_file(flv)
        for record in records:
            publisher.raw(record)
        legs = rig.hub.legs
        await until(lambda: legs[0].bytes_in >= sum(map(len, records)))


def write_ts(records: Sequence[Record], path: Path) -> None:
    """One transport stream out of records, as a recorder makes it."""
    muxer: TsMuxer | None = None
    with path.open("wb") as out:
        for record in records:
            if isinstance(record, TimelineFormat):
                muxer = TsMuxer(track_formats(record.tracks))
            elif isinstance(record, AccessUnit):
                assert muxer is not None
                out.write(muxer.write(record))


@pytest.mark.parametrize(
    "clip",
    [
        {"x264": "bframes=3:b-pyramid=2"},
        {"x264": "bframes=0", "audio_hz": 44_100},
        {"video": None},
        {"audio_hz": None},
    ],
    ids=["b-frames", "44100 Hz", "audio only", "video only"],
)
async def test_two_publishers_one_after_the_other_come_out_whole(
    tmp_path: Path, clip: dict[str, object]
) -> None:
    source = tmp_path / "clip.flv"
    made = make_clip(source, seconds=3, **clip)  # type: ignore[arg-type]
    flv = source.read_bytes()
    async with Rig(resume_window_seconds=1).running() as rig, rig.reading() as reader:
        for connection in ("c1", "c2"):
            await post(rig, flv, connection)
            await asyncio.sleep(0.3)
        await until(reader.done.is_set, 30)
    assert reader.clean_end
    assert isinstance(reader.records[-1], TimelineEnd)
    assert len(reader.of(TimelineFormat)) == len(reader.of(TimelineGap)) == 1
    # Audio from before the first picture cannot be shown with it and is left out.
    first = next(unit.dts for unit in made.units if unit.is_random_access)
    for track in (0, 1):
        sent = [u.payload for u in made.units if u.track == track and u.dts >= first]
        assert [unit.payload for unit in reader.units if unit.track == track] == sent + sent
    out = tmp_path / "out.ts"
    write_ts(reader.records, out)
    if made.formats[0].kind is TrackKind.VIDEO:
        pictures = frame_hashes(source)
        assert frame_hashes(out) == pictures + pictures


async def test_a_player_gets_a_transport_stream_that_demuxes_without_an_error(
    tmp_path: Path,
) -> None:
    source = tmp_path / "clip.flv"
    make_clip(source, seconds=3)
    out = tmp_path / "out.ts"
    async with Rig(resume_window_seconds=1).running() as rig:
        headers = {"Authorization": "Bearer readers-token"}
        url = f"{rig.url}/v1/timeline"
        query = {"format": "ts", "role": "recorder"}
        async with rig.client.get(url, params=query, headers=headers) as response:
            await post(rig, source.read_bytes(), "c1")
            out.write_bytes(await asyncio.wait_for(response.read(), 30))
    assert frame_hashes(out) == frame_hashes(source)


def joined(first: bytes, second: bytes) -> bytes:
    """Two FLV files as an encoder sends them that changes its settings without a sequence header:
    what is new stands in the keyframes alone."""
    tags = TagReader().feed(first)
    start_ms = max(tag.timestamp_ms for tag in tags) + 40
    for tag in TagReader().feed(second):
        is_config = tag.type_id == TagType.SCRIPT or tag.payload[1] == 0
        if not is_config:
            tag.timestamp_ms += start_ms
            tags.append(tag)
    return FILE_HEADER + b"".join(encode_tag(t.type_id, t.timestamp_ms, t.payload) for t in tags)


@pytest.mark.parametrize("size", ["640x360", "320x180"], ids=["same size", "another size"])
async def test_an_encoder_that_changes_its_parameter_sets_in_keyframes_alone_is_recorded_whole(
    tmp_path: Path, size: str
) -> None:
    sources = [tmp_path / "a.flv", tmp_path / "b.flv"]
    make_clip(sources[0], seconds=2, x264="bframes=2:repeat-headers=1", audio_hz=None)
    in_band = "bframes=0:cabac=1:ref=2:repeat-headers=1"
    make_clip(sources[1], seconds=2, x264=in_band, audio_hz=None, video=size)
    flv = joined(sources[0].read_bytes(), sources[1].read_bytes())
    async with Rig(resume_window_seconds=1).running() as rig, rig.reading() as reader:
        await post(rig, flv, "c1")
        await until(reader.done.is_set, 30)
    formats = reader.of(TimelineFormat)
    assert [f"{f.tracks[0].width}x{f.tracks[0].height}" for f in formats] == ["640x360", size]
    assert len(reader.units) == 100
    cut = reader.records.index(formats[1])
    assert reader.records[cut + 2] is reader.units[50]  # behind the record of its segment
    # Each format is a file of its own, as readers that roll write it.
    for number, records in enumerate((reader.records[:cut], reader.records[cut:])):
        out = tmp_path / f"{number}.ts"
        write_ts(records, out)
        assert frame_hashes(out) == frame_hashes(sources[number])
