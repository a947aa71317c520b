"""LL-HLS playlists: parsed by a strict parser, and the rules of RFC 8216bis one by one.

Clause numbers are those of draft-ietf-hls-rfc8216bis.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import m3u8
import pytest
from hypothesis import given, settings

from sluice_media.contract import TimelineSegment
from sluice_media.formats.cmaf.video_facts import VideoFacts
from sluice_media.formats.units import AccessUnit, TrackFormat, UnitFlags
from sluice_media.play import hls
from sluice_media.play.cutter import SessionEnded
from sluice_media.play.table import SegmentTable
from sluice_media.timeline.framing import Record
from tests.support.playback import cut, records, table_of
from tests.unit.play.streams import (
    AUDIO,
    VIDEO,
    VIDEO_1080,
    broadcast,
    format_record,
    from_segment,
    pictures,
    sources,
    stream,
)


def playlist(table: SegmentTable, track: int = 0, *, skip: bool = False, **options: bool) -> str:
    return hls.MediaPlaylist(table, track, **options).render(skip=skip)


def tags(text: str, name: str) -> list[str]:
    """Return the values of a tag, in order."""
    found = re.findall(rf"^#{name}(?::(.*))?$", text, re.MULTILINE)
    return list(found)


def parsed(text: str) -> m3u8.M3U8:
    """Return the playlist as the parser reads it in strict mode."""
    return m3u8.loads(text, uri="https://example.com/ns/st/x.m3u8") if _strict(text) else None


def _strict(text: str) -> bool:
    m3u8.M3U8(text, strict=True)
    return True


def changed_format(seconds: int = 12, at: int = 3) -> list[Record | TimelineSegment]:
    """Return a session whose picture size changes at segment ``at``."""
    found = stream(seconds, ended=False)
    place = next(i for i, r in enumerate(found) if getattr(r, "number", None) == at)
    return [
        *found[:place],
        format_record((VIDEO_1080, AUDIO)),
        *(
            r.model_copy(update={"format_number": 1}) if isinstance(r, TimelineSegment) else r
            for r in found[place:]
        ),
    ]


def test_a_strict_parser_reads_all_playlists() -> None:
    for found in (stream(9), stream(9, ended=False), stream(60, ended=False), changed_format()):
        table = table_of(found)
        for track in (0, 1):
            for skip in (False, True):
                assert parsed(playlist(table, track, skip=skip)).segments
        top = parsed(hls.multivariant(table))
        assert [p.uri for p in top.playlists] == ["5e55/video.m3u8"]
        assert [m.uri for m in top.media] == ["5e55/audio.m3u8"]


def test_4_4_3_1_no_segment_is_longer_than_the_target_duration() -> None:
    text = playlist(table_of(stream(20)))
    (target,) = tags(text, "EXT-X-TARGETDURATION")
    durations = [float(value.rstrip(",")) for value in tags(text, "EXTINF")]
    assert durations
    assert max(map(round, durations)) <= int(target)


def test_4_4_3_8_server_control() -> None:
    text = playlist(table_of(stream(9, ended=False)))
    (control,) = tags(text, "EXT-X-SERVER-CONTROL")
    values = dict(pair.split("=") for pair in control.split(","))
    (inf,) = tags(text, "EXT-X-PART-INF")
    part_target = float(inf.removeprefix("PART-TARGET="))
    assert values["CAN-BLOCK-RELOAD"] == "YES"
    assert float(values["PART-HOLD-BACK"]) >= 3 * part_target  # at least twice, 3 recommended
    assert float(values["HOLD-BACK"]) >= 3 * 4
    assert float(values["CAN-SKIP-UNTIL"]) >= 6 * 4


@settings(max_examples=40, deadline=None)
@given(sources())
def test_4_4_4_9_no_part_is_longer_than_the_part_target(
    source: tuple[tuple[TrackFormat, ...], list[AccessUnit]],
) -> None:
    found = records(*source, ended=False)
    table = table_of(found)
    if not table.is_published:
        return
    for track in table.tracks:
        text = playlist(table, track)
        parsed(text)
        for value in tags(text, "EXT-X-PART"):
            duration = re.match(r"DURATION=([\d.]+),URI=", value)
            assert duration is not None
            assert 0 < float(duration[1]) <= hls.PART_TARGET


@pytest.mark.parametrize("fps", [15, 24, 25, 30_000 / 1_001, 30, 50, 60_000 / 1_001, 60])
@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
def test_4_4_3_7_parts_before_the_last_one_have_85_percent_of_the_target(
    fps: float, rate: int
) -> None:
    table = table_of(records((VIDEO, AUDIO), broadcast(5, fps=fps, rate=rate)))
    for segment in table.segments:
        for track in segment.tracks.values():
            for part in track.parts[:-1]:
                assert 0.85 * 46_800 <= part.duration <= 46_800


def test_4_4_4_9_parts_of_the_last_three_segments_only() -> None:
    text = playlist(table_of(stream(21, ended=False)))
    numbers = {re.findall(r'URI="video/(\d+)\.', value)[0] for value in tags(text, "EXT-X-PART")}
    assert numbers == {"8", "9", "10"}
    first = [v for v in tags(text, "EXT-X-PART") if ".0.m4s" in v]
    assert all(v.endswith("INDEPENDENT=YES") for v in first)


def test_4_4_4_5_every_segment_has_the_map_of_its_format() -> None:
    table = table_of(changed_format())
    found = parsed(playlist(table))
    maps = {s.uri: s.init_section.uri for s in found.segments if s.init_section and s.uri}
    assert maps["video/2.m4s"] == "video/init.0.mp4"
    assert maps["video/3.m4s"] == "video/init.1.mp4"
    assert [s.uri for s in found.segments if s.discontinuity and s.uri] == ["video/3.m4s"]


def test_4_4_3_3_the_discontinuity_sequence_grows_when_a_format_leaves_the_window() -> None:
    table = table_of(changed_format(40), window_seconds=24)
    text = playlist(table)
    assert tags(text, "EXT-X-DISCONTINUITY-SEQUENCE") == ["1"]
    assert tags(text, "EXT-X-DISCONTINUITY") == []
    assert tags(text, "EXT-X-MAP") == ['URI="video/init.1.mp4"']
    assert list(table.formats) == [1]


def test_4_4_4_6_every_segment_has_the_wall_clock_of_its_anchor() -> None:
    found = parsed(playlist(table_of(stream(9))))
    dates = [s.program_date_time.isoformat() for s in found.segments]
    assert dates[:2] == ["2026-11-23T12:00:00.500000+00:00", "2026-11-23T12:00:02.500000+00:00"]
    audio = parsed(playlist(table_of(stream(9)), 1))
    # The first sound comes with the first picture's DTS, which is shown 40 ms later.
    assert audio.segments[0].program_date_time.isoformat() == "2026-11-23T12:00:00.460000+00:00"


def test_4_4_4_7_missing_segments_are_gaps_with_their_numbers() -> None:
    found = stream(20, ended=False)
    places = {r.number: i for i, r in enumerate(found) if isinstance(r, TimelineSegment)}
    table = table_of([*found[: places[2]], *found[places[4] :]])
    # Segment 1 was open when its rest was lost, so it is missing, too.
    text = playlist(table)
    uris = [line for line in text.splitlines() if line.endswith("m4s")]
    assert uris == [f"video/{n}.m4s" for n in range(9)]
    gaps = re.findall(r"#EXT-X-GAP\n#EXTINF:([\d.]+),\nvideo/(\d+)\.m4s", text)
    assert gaps == [("2.00000", "1"), ("2.00000", "2"), ("2.00000", "3")]
    parsed(text)


def test_4_4_4_7_a_track_without_units_has_a_gap() -> None:
    units = [u for u in broadcast(14) if u.track == 0 or not 5 < u.dts / 90_000 - 1 < 10.5]
    table = table_of(records((VIDEO, AUDIO), units))
    text = playlist(table, 1)
    assert re.findall(r"#EXT-X-GAP\n.*\naudio/(\d+)", text) == ["3", "4"]
    assert "GAP" not in playlist(table)


def test_4_4_5_3_the_hint_is_the_next_part() -> None:
    table = table_of(stream(9, ended=False))
    (hint,) = tags(playlist(table), "EXT-X-PRELOAD-HINT")
    assert hint == 'TYPE=PART,URI="video/4.1.m4s"'
    assert table.part(0, 4, 0)
    assert not table.part(0, 4, 1)


def test_4_4_5_4_the_report_names_the_last_part_of_the_other_track() -> None:
    table = table_of(stream(9, ended=False))
    (report,) = tags(playlist(table), "EXT-X-RENDITION-REPORT")
    assert report == 'URI="audio.m3u8",LAST-MSN=4,LAST-PART=0'
    assert tags(playlist(table, 1), "EXT-X-RENDITION-REPORT")[0].startswith('URI="video.m3u8"')


def test_6_2_5_1_a_delta_update_skips_what_is_older_than_the_boundary() -> None:
    table = table_of(stream(60, ended=False))
    full, delta = playlist(table), playlist(table, skip=True)
    (value,) = tags(delta, "EXT-X-SKIP")
    skipped = int(value.removeprefix("SKIPPED-SEGMENTS="))
    kept = [line for line in delta.splitlines() if line.endswith(".m4s")]
    everything = [line for line in full.splitlines() if line.endswith(".m4s")]
    assert everything[skipped:] == kept
    rest = sum(float(v.rstrip(",")) for v in tags(delta, "EXTINF"))
    assert 24 <= rest < 28
    # The sequence numbers are those of the whole playlist, and the version is at least 9.
    assert tags(delta, "EXT-X-MEDIA-SEQUENCE") == tags(full, "EXT-X-MEDIA-SEQUENCE")
    assert int(tags(delta, "EXT-X-VERSION")[0]) >= 9
    assert full.endswith(delta[delta.index(kept[1]) :])


def test_6_2_5_1_a_short_playlist_has_no_delta_update() -> None:
    table = table_of(stream(9, ended=False))
    assert playlist(table, skip=True) == playlist(table)


def test_6_2_1_the_end_comes_in_one_step_without_parts_and_hints() -> None:
    events = cut(stream(9))
    table = SegmentTable("5e55", 0, 60)
    for event in events[:-1]:
        table.apply(event)
    media = hls.MediaPlaylist(table, 0)
    before = media.render()
    assert "PRELOAD-HINT" in before
    assert "ENDLIST" not in before
    assert isinstance(events[-1], SessionEnded)
    table.apply(events[-1])
    after = media.render()
    assert after.endswith("#EXT-X-ENDLIST\n")
    for tag in ("EXT-X-PART:", "PRELOAD-HINT", "RENDITION-REPORT"):
        assert tag not in after
    assert len(tags(after, "EXTINF")) == len(table.segments) == 5
    kept = hls.MediaPlaylist(table, 0, end_list=False).render()
    assert "ENDLIST" not in kept
    assert "PRELOAD-HINT" not in kept


def test_6_2_2_the_window_moves_by_time_and_keeps_the_sequence_numbers() -> None:
    table = table_of(stream(60, ended=False), window_seconds=20)
    text = playlist(table)
    (first,) = tags(text, "EXT-X-MEDIA-SEQUENCE")
    assert int(first) == table.segments[0].number > 0
    durations = sum(float(v.rstrip(",")) for v in tags(text, "EXTINF"))
    assert 20 <= durations <= 24


def test_4_4_6_2_a_variant_declares_rates_codecs_size_and_frame_rate() -> None:
    (variant,) = parsed(hls.multivariant(table_of(stream(9)))).playlists
    info = variant.stream_info
    assert info.codecs == "avc1.64001e,mp4a.40.2"
    assert info.resolution == (640, 360)
    assert info.frame_rate == 25
    assert info.bandwidth >= info.average_bandwidth > 0


@pytest.mark.parametrize(("transfer", "want"), [(1, "SDR"), (16, "PQ"), (18, "HLG")])
def test_4_4_6_2_the_video_range_follows_from_the_transfer_function(
    transfer: int, want: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = VideoFacts(640, 25.0, (1, 1), (9, transfer, 9), is_full_range=False)
    monkeypatch.setattr(hls, "video_facts", lambda _: facts)
    text = hls.multivariant(table_of(stream(9)))
    assert f",VIDEO-RANGE={want}," in text


def test_without_video_the_audio_is_the_variant() -> None:
    units = [u for u in broadcast(9) if u.track == 1]
    text = hls.multivariant(table_of(records((AUDIO,), units)))
    assert "EXT-X-MEDIA:" not in text
    assert text.endswith("5e55/audio.m3u8\n")
    assert 'CODECS="mp4a.40.2"' in text


def test_a_second_audio_track_is_another_rendition() -> None:
    second = TrackFormat(2, AUDIO.kind, AUDIO.codec, AUDIO.config, 0, 0, 48_000, 2)
    units = []
    for unit in broadcast(9):
        units.append(unit)
        if unit.track:
            units.append(AccessUnit(2, unit.dts, unit.pts, unit.flags, 0, unit.payload))
    table = table_of(records((VIDEO, AUDIO, second), units, ended=False))
    top = parsed(hls.multivariant(table))
    assert [(m.uri, m.default) for m in top.media] == [
        ("5e55/audio.m3u8", "YES"),
        ("5e55/audio2.m3u8", "NO"),
    ]
    assert len(tags(playlist(table, 2), "EXT-X-RENDITION-REPORT")) == 2


def test_slow_pictures_make_parts_that_are_declared_no_longer_than_the_target() -> None:
    table = table_of(records((VIDEO,), pictures(12, frame=90_000, gop=2), ended=False))
    text = playlist(table)
    assert 'DURATION=0.52000,URI="video/' in text
    assert tags(text, "EXTINF")[0] == "2.00000,"


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_pod_that_began_later_prints_the_same_text_once_the_window_has_moved(
    number: int,
) -> None:
    found = stream(60, ended=False)
    first = table_of(found, window_seconds=20)
    later = table_of(from_segment(found, number), window_seconds=20)
    for track in (0, 1):
        assert playlist(later, track) == playlist(first, track)
    assert hls.multivariant(later) == hls.multivariant(first)


def test_a_playlist_that_was_rendered_all_the_time_equals_a_fresh_one() -> None:
    table = SegmentTable("5e55", 0, 20)
    kept = [hls.MediaPlaylist(table, track) for track in (0, 1)]
    for event in cut(changed_format(40)):
        table.apply(event)
        if table.is_published:
            for media in kept:
                media.render()
    for track, media in enumerate(kept):
        assert media.render() == playlist(table, track)


def test_a_track_that_joins_with_a_new_format_begins_its_playlist_there() -> None:
    units = broadcast(12)
    head = records((VIDEO,), [u for u in units if not u.track and u.dts < 450_000], ended=False)
    rest = records((VIDEO, AUDIO), [u for u in units if u.dts >= 450_000], number=2)
    later = [
        r.model_copy(update={"format_number": 1}) if isinstance(r, TimelineSegment) else r
        for r in rest
    ]
    table = table_of([*head, *later])
    text = playlist(table, 1)
    assert tags(text, "EXT-X-MEDIA-SEQUENCE") == ["2"]
    assert tags(text, "EXT-X-DISCONTINUITY-SEQUENCE") == ["1"]
    assert tags(text, "EXT-X-MAP") == ['URI="audio/init.1.mp4"']


def test_flags_and_arrival_times_do_not_reach_the_text() -> None:
    units: Sequence[Any] = broadcast(9)
    marked = [
        AccessUnit(u.track, u.dts, u.pts, u.flags | UnitFlags.DISCONTINUITY, 77, u.payload)
        for u in units
    ]
    first, second = (table_of(records((VIDEO, AUDIO), u)) for u in (units, marked))
    assert playlist(first) == playlist(second)
    assert [s.tracks for s in first.segments] == [s.tracks for s in second.segments]
