"""MPEG-TS segments of CMAF parts, read back by the demultiplexer."""

from __future__ import annotations

import re

import pytest

from sluice_media.formats.codecs import CodecError
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.play import ts_hls
from sluice_media.play.mpegts import carried_formats, ts_segment
from sluice_media.play.segment import Segment
from tests.support.playback import cut, parts_of, records, table_of
from tests.support.ts_packets import check_counters, packets
from tests.support.ts_samples import IDR, PICTURE, read, units_of
from tests.unit.play.streams import AUDIO, AUDIO_44100, HEVC, VIDEO, broadcast, stream

WRAP = 1 << 33


def made(unit: AccessUnit, shift: int = 0) -> AccessUnit:
    """Return a unit with the payload of a real picture."""
    payload = unit.payload if unit.track else IDR if unit.is_random_access else PICTURE
    pts = unit.pts + shift
    return AccessUnit(unit.track, unit.dts + shift, pts, unit.flags, 0, payload)


def segment_bytes(segment: Segment, formats: tuple[TrackFormat, ...]) -> bytes:
    parts = {track: parts_of(segment, track) for track in segment.tracks}
    return ts_segment(formats, parts, shift=segment.shift)


@pytest.mark.parametrize("ticks", [0, WRAP - 4 * 90_000], ids=["plain", "33-bit wrap"])
def test_a_segment_begins_with_tables_and_a_keyframe_and_has_every_unit(ticks: int) -> None:
    units = [made(u, ticks) for u in broadcast(8)]
    table = table_of(records((VIDEO, AUDIO), units))
    for segment in table.segments:
        data = segment_bytes(segment, (VIDEO, AUDIO))
        check_counters(data)
        pids = [packet.pid for packet in packets(data)]
        assert pids[:3] == [0, 0x1000, 0x100]
        found = units_of(read(data), 0)
        want = [u for u in units if u.track == 0 and segment.dts <= u.dts < segment.dts + 180_000]
        assert [u.payload for u in found] == [u.payload for u in want]
        assert found[0].is_random_access
        assert {(a.dts - b.dts) % WRAP for a, b in zip(found, want, strict=True)} == {0}
        sound = units_of(read(data), 1)
        assert len(sound) == sum(u.track == 1 for u in units if in_segment(u, segment))


def in_segment(unit: AccessUnit, segment: Segment) -> bool:
    return segment.dts <= unit.dts < segment.dts + 180_000


def test_a_segment_does_not_depend_on_the_segments_before_it() -> None:
    units = [made(u) for u in broadcast(8)]
    table = table_of(records((VIDEO, AUDIO), units))
    alone = segment_bytes(table.segments[2], (VIDEO, AUDIO))
    assert alone == segment_bytes(table.segments[2], (VIDEO, AUDIO))
    first = {packet.pid: packet.counter for packet in reversed(list(packets(alone)))}
    assert set(first.values()) == {0}


def test_the_first_packet_of_each_track_allows_another_counter() -> None:
    units = [made(u) for u in broadcast(4)]
    data = segment_bytes(table_of(records((VIDEO, AUDIO), units)).segments[1], (VIDEO, AUDIO))
    seen: set[int] = set()
    for at in range(0, len(data), 188):
        pid = int.from_bytes(data[at + 1 : at + 3], "big") & 0x1FFF
        if pid in (0x100, 0x101) and pid not in seen:
            seen.add(pid)
            assert data[at + 3] & 0x20
            assert data[at + 5] & 0x80  # discontinuity_indicator
    assert seen == {0x100, 0x101}


def test_a_track_without_units_is_left_out_of_the_data() -> None:
    units = [made(u) for u in broadcast(4)]
    segment = table_of(records((VIDEO, AUDIO), units)).segments[0]
    data = ts_segment((VIDEO, AUDIO), {0: parts_of(segment, 0)}, shift=segment.shift)
    assert {packet.pid for packet in packets(data)} == {0, 0x1000, 0x100}


def test_tracks_that_mpegts_cannot_carry_are_left_out() -> None:
    surround = TrackFormat(2, AUDIO.kind, AUDIO.codec, bytes.fromhex("11e0"), 0, 0, 48_000, 24)
    assert carried_formats((HEVC, AUDIO_44100, surround)) == (HEVC, AUDIO_44100)
    with pytest.raises(CodecError):
        ts_segment((surround,), {}, shift=0)


def test_a_ts_segment_is_listed_when_all_its_tracks_are_complete() -> None:
    delayed = sorted(broadcast(9), key=lambda u: u.dts + (40_000 if u.track else 0))
    table = table_of(records((VIDEO, AUDIO), delayed, ended=False)[:-1])
    listed = re.findall(r"^ts/(\d+)\.ts$", ts_hls.TsPlaylist(table).render(), re.MULTILINE)
    assert listed == [str(s.number) for s in table.segments if s.is_closed]


def test_the_query_has_the_duration_of_the_extinf() -> None:
    table = table_of(records((VIDEO,), [u for u in broadcast(9.96) if not u.track]))
    text = ts_hls.TsPlaylist(table, with_durations=True).render()
    found = re.findall(r"#EXTINF:([\d.]+),\nts/(\d+)\.ts\?duration_sec=([\d.]+)\n", text)
    assert [(extinf, query) for extinf, _, query in found] == [("2", "2")] * 4 + [("1.96", "1.96")]
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert "ENDLIST" not in ts_hls.TsPlaylist(table, end_list=False).render()
    top = ts_hls.multivariant(table, with_durations=True)
    assert top.endswith("5e55/mpegts.m3u8?get_duration_sec=true\n")


def test_a_playlist_that_was_rendered_all_the_time_equals_a_fresh_one() -> None:
    table = table_of([], window_seconds=20)
    playlist = ts_hls.TsPlaylist(table)
    for event in cut(stream(40)):
        table.apply(event)
        assert playlist.render() == ts_hls.TsPlaylist(table).render()
