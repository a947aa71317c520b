"""The MPD: the rules of ISO/IEC 23009-1:2022 one by one, with their clauses.

The schema of the standard may not be copied into the repository. These tests check its order of
elements and its attributes where Sluice uses them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from sluice_media.contract import TimelineSegment
from sluice_media.play.cutter import PartClosed
from sluice_media.play.dash import Manifest
from sluice_media.play.table import SegmentTable
from sluice_media.timeline.framing import Record
from tests.support.playback import STARTED, cut, records, table_of
from tests.unit.play.streams import (
    AUDIO,
    VIDEO,
    VIDEO_1080,
    broadcast,
    format_record,
    from_segment,
    stream,
)

NS = {"d": "urn:mpeg:dash:schema:mpd:2011"}


def mpd(table: SegmentTable, **options: bool) -> ET.Element:
    return ET.fromstring(Manifest(table, **options).render())


def seconds(duration: str) -> float:
    found = re.fullmatch(r"PT(\d+(?:\.\d+)?)S", duration)
    assert found is not None, duration
    return float(found[1])


def entries(adaptation_set: ET.Element) -> list[tuple[int, int]]:
    """Return start and duration of each segment of a timeline (5.3.9.6)."""
    found: list[tuple[int, int]] = []
    for s in adaptation_set.iterfind(".//d:S", NS):
        duration = int(s.attrib["d"])
        start = int(s.attrib.get("t", sum(found[-1]) if found else 0))
        count = int(s.attrib.get("r", 0)) + 1
        found += [(start + i * duration, duration) for i in range(count)]
    return found


def sets(period: ET.Element) -> dict[str, ET.Element]:
    return {s.attrib["contentType"]: s for s in period.iterfind("d:AdaptationSet", NS)}


def template(adaptation_set: ET.Element) -> dict[str, str]:
    (found,) = adaptation_set.iterfind("d:SegmentTemplate", NS)
    return found.attrib


def numbered(period: ET.Element, kind: str) -> dict[int, tuple[int, int]]:
    """Return start and duration of each segment by its number (5.3.9.5.3)."""
    first = int(template(sets(period)[kind])["startNumber"])
    return dict(enumerate(entries(sets(period)[kind]), first))


def with_anchor(
    found: Sequence[Record | TimelineSegment], number: int, late_seconds: float, **more: object
) -> list[Record | TimelineSegment]:
    """Return records in which media was missing for some seconds before segment ``number``."""
    changed = []
    for record in found:
        if isinstance(record, TimelineSegment) and record.number >= number:
            utc = record.anchor_utc + timedelta(seconds=late_seconds)
            record = record.model_copy(update={"anchor_utc": utc, **more})
        changed.append(record)
    return changed


def test_5_3_1_2_a_live_mpd_has_the_attributes_of_a_dynamic_one() -> None:
    root = mpd(table_of(stream(9, ended=False), window_seconds=60))
    assert root.tag == "{urn:mpeg:dash:schema:mpd:2011}MPD"
    assert root.attrib["type"] == "dynamic"
    assert root.attrib["availabilityStartTime"] == "2026-11-23T12:00:00.000Z"
    assert root.attrib["publishTime"] == "2026-11-23T12:00:09.020Z"
    assert seconds(root.attrib["minimumUpdatePeriod"]) == 1
    assert seconds(root.attrib["timeShiftBufferDepth"]) == 60
    assert "mediaPresentationDuration" not in root.attrib
    assert "urn:mpeg:dash:profile:isoff-live:2011" in root.attrib["profiles"]


def test_5_3_1_2_elements_have_the_order_of_the_schema() -> None:
    root = mpd(table_of(stream(9, ended=False)))
    assert [e.tag.split("}")[1] for e in root] == ["ServiceDescription", "Period", "UTCTiming"]
    audio = sets(root[1])["audio"]
    assert [e.tag.split("}")[1] for e in audio] == ["SegmentTemplate", "Representation"]


def test_5_8_4_11_the_clock_is_that_of_the_edge() -> None:
    timing = mpd(table_of(stream(9, ended=False))).find("d:UTCTiming", NS)
    assert timing is not None
    assert timing.attrib == {"schemeIdUri": "urn:mpeg:dash:utc:http-xsdate:2014", "value": "time"}


def test_5_3_9_6_the_timeline_has_every_segment_with_its_exact_time() -> None:
    table = table_of(stream(9))
    (period,) = mpd(table).iterfind("d:Period", NS)
    for kind, track in (("video", 0), ("audio", 1)):
        assert numbered(period, kind) == {
            s.number: (s.tracks[track].start, s.tracks[track].duration) for s in table.segments
        }


def test_5_3_9_6_segments_do_not_overlap() -> None:
    units = [u for u in broadcast(14) if not 4 < u.dts / 90_000 < 4.3]
    for period in mpd(table_of(records((VIDEO, AUDIO), units))).iterfind("d:Period", NS):
        for adaptation_set in sets(period).values():
            found = entries(adaptation_set)
            for (start, duration), (next_start, _) in pairwise(found):
                assert start + duration <= next_start


def test_5_3_9_5_a_segment_grows_with_an_estimated_duration() -> None:
    table = table_of(stream(9, ended=False))
    (period,) = mpd(table).iterfind("d:Period", NS)
    assert table.segments[-1].duration == 46_800
    assert numbered(period, "video")[4] == (93_600 + 4 * 180_000, 180_000)
    attributes = template(sets(period)["video"])
    assert attributes["availabilityTimeComplete"] == "false"
    assert 0 < float(attributes["availabilityTimeOffset"]) < 2 - 0.52
    assert attributes["media"] == "5e55/video/$Number$.m4s"
    assert attributes["initialization"] == "5e55/video/init.0.mp4"


def test_5_3_9_5_the_estimate_of_a_growing_segment_is_never_too_short() -> None:
    units = broadcast(12)
    table = SegmentTable("5e55", 0, 60)
    manifest = Manifest(table)
    for event in cut(records((VIDEO, AUDIO), units)):
        table.apply(event)
        if not isinstance(event, PartClosed) or not table.is_published:
            continue
        periods = ET.fromstring(manifest.render()).findall("d:Period", NS)
        kind = "audio" if event.track else "video"
        start, duration = numbered(periods[-1], kind)[event.number]
        assert start + duration >= event.start + event.duration


def test_5_3_2_2_a_new_anchor_begins_a_period_at_its_wall_clock() -> None:
    found = with_anchor(stream(16, ended=False), 3, 6)
    periods = mpd(table_of(found)).findall("d:Period", NS)
    assert [p.attrib["id"] for p in periods] == ["p0", "p3"]
    assert [seconds(p.attrib["start"]) for p in periods] == [0.5, 0.5 + 6 + 6]
    assert template(sets(periods[1])["video"])["startNumber"] == "3"
    offset = template(sets(periods[1])["video"])["presentationTimeOffset"]
    assert int(offset) == 93_600 + 3 * 180_000
    assert min(numbered(periods[1], "audio")) == 3


def test_media_that_is_repeated_stays_in_its_period_and_overlaps_nothing() -> None:
    """Another encoder goes on with pictures that were made up to 2 s earlier."""
    found = with_anchor(stream(16, ended=False), 3, -1.9)
    [period] = mpd(table_of(found)).findall("d:Period", NS)
    assert len(entries(sets(period)["video"])) > 4


def test_a_loss_after_repeated_media_begins_a_period_at_the_wall_clock_again() -> None:
    found = with_anchor(with_anchor(stream(16, ended=False), 3, -1.9), 5, 1.9 + 6)
    periods = mpd(table_of(found)).findall("d:Period", NS)
    assert [p.attrib["id"] for p in periods] == ["p0", "p5"]
    assert seconds(periods[1].attrib["start"]) == pytest.approx(0.5 + 10 + 6, abs=1e-6)


def test_a_change_of_format_with_repeated_media_begins_no_period_in_the_past() -> None:
    found = with_anchor(stream(16, ended=False), 3, -1.9, format_number=1)
    periods = mpd(table_of(found)).findall("d:Period", NS)
    assert [seconds(p.attrib["start"]) for p in periods] == [0.5, 6.5]


def test_a_new_period_is_there_only_when_all_its_tracks_are() -> None:
    """Shaka ends with an error at a period in which a track of the others is missing."""
    table = SegmentTable("5e55", int(STARTED.timestamp() * 1e6), 60)
    manifest = Manifest(table)
    seen: list[list[str]] = []
    for event in cut(with_anchor(stream(16, ended=False), 3, 6)):
        table.apply(event)
        if table.is_published:
            periods = ET.fromstring(manifest.render()).findall("d:Period", NS)
            seen += [sorted(sets(period)) for period in periods]
    assert all(kinds == ["audio", "video"] for kinds in seen)


def test_5_3_2_2_presentation_times_are_the_wall_clock_of_the_segments() -> None:
    table = table_of(with_anchor(stream(16, ended=False), 3, 6.25))
    origin = STARTED.timestamp()
    for period in mpd(table).iterfind("d:Period", NS):
        offset = int(template(sets(period)["video"])["presentationTimeOffset"])
        for number, (start, _) in numbered(period, "video").items():
            shown = seconds(period.attrib["start"]) + (start - offset) / 90_000
            segment = table.get(number)
            assert segment is not None
            assert shown == pytest.approx(segment.wall_us(start) / 1e6 - origin, abs=2e-6)


def test_5_3_2_2_a_format_change_begins_a_period_with_its_init_segment() -> None:
    found = stream(12, ended=False)
    place = next(i for i, r in enumerate(found) if getattr(r, "number", None) == 3)
    later = with_anchor(found[place:], 0, 0, format_number=1)
    table = table_of([*found[:place], format_record((VIDEO_1080, AUDIO)), *later])
    periods = mpd(table).findall("d:Period", NS)
    video = [sets(p)["video"] for p in periods]
    assert [template(v)["initialization"] for v in video] == [
        "5e55/video/init.0.mp4",
        "5e55/video/init.1.mp4",
    ]
    widths = [v.find("d:Representation", NS) for v in video]
    assert [r.attrib["width"] for r in widths if r is not None] == ["640", "1920"]


def test_5_3_9_5_3_missing_segments_begin_a_period_so_that_numbers_stay_right() -> None:
    found = stream(20, ended=False)
    places = {r.number: i for i, r in enumerate(found) if isinstance(r, TimelineSegment)}
    table = table_of([*found[: places[2]], *found[places[4] :]])
    periods = mpd(table).findall("d:Period", NS)
    assert [p.attrib["id"] for p in periods] == ["p0", "p4"]
    assert min(numbered(periods[1], "video")) == 4
    assert numbered(periods[1], "video")[5][0] == 93_600 + 5 * 180_000


def test_5_3_9_5_3_a_track_without_units_is_not_in_its_period() -> None:
    units = [u for u in broadcast(20) if u.track == 0 or not 5 < u.dts / 90_000 - 1 < 10.5]
    periods = mpd(table_of(records((VIDEO, AUDIO), units))).findall("d:Period", NS)
    assert [sorted(sets(p)) for p in periods] == [
        ["audio", "video"],
        ["video"],
        ["audio", "video"],
    ]
    assert [list(numbered(p, "video")) for p in periods] == [[0, 1, 2], [3, 4], [5, 6, 7, 8, 9]]
    assert min(numbered(periods[2], "audio")) == 5


def test_periods_keep_their_id_and_start_when_the_window_moves() -> None:
    table = SegmentTable("5e55", int(STARTED.timestamp() * 1e6), 20)
    manifest = Manifest(table)
    seen: dict[str, set[tuple[str, str]]] = {}
    for event in cut(with_anchor(stream(60, ended=False), 12, 6)):
        table.apply(event)
        if table.is_published and not isinstance(event, PartClosed):
            for period in ET.fromstring(manifest.render()).iterfind("d:Period", NS):
                offset = template(sets(period)["video"])["presentationTimeOffset"]
                seen.setdefault(period.attrib["id"], set()).add((period.attrib["start"], offset))
    assert sorted(seen) == ["p0", "p12"]
    assert [len(found) for found in seen.values()] == [1, 1]
    assert table.segments[0].number > 12


def test_a_pod_that_copied_the_older_segments_prints_the_same_mpd() -> None:
    found = with_anchor(stream(60, ended=False), 12, 6)
    first = table_of(found, window_seconds=40)
    later = table_of(from_segment(found, 20), window_seconds=40)
    assert Manifest(first).render() != Manifest(later).render()
    for segment in first.segments:
        if segment.is_closed:
            later.insert(segment, first.formats[segment.format_number])
    later.trim()
    assert Manifest(first).render() == Manifest(later).render()


def test_an_mpd_that_was_rendered_all_the_time_equals_a_fresh_one() -> None:
    table = SegmentTable("5e55", 0, 20)
    manifest = Manifest(table)
    for event in cut(with_anchor(stream(40), 7, 6)):
        table.apply(event)
        if table.is_published:
            assert manifest.render() == Manifest(table).render()


def test_5_3_1_2_the_end_makes_it_static_in_one_step() -> None:
    table = table_of(stream(9))
    root = mpd(table)
    assert root.attrib["type"] == "static"
    assert seconds(root.attrib["mediaPresentationDuration"]) == pytest.approx(9.5, abs=0.05)
    for name in ("minimumUpdatePeriod", "timeShiftBufferDepth"):
        assert name not in root.attrib
    assert "availabilityTimeOffset" not in Manifest(table).render().decode()
    assert mpd(table, end_list=False).attrib["type"] == "dynamic"


def test_5_3_7_2_a_representation_declares_its_codec_size_and_rate() -> None:
    (period,) = mpd(table_of(stream(9))).iterfind("d:Period", NS)
    video = sets(period)["video"].find("d:Representation", NS)
    audio = sets(period)["audio"].find("d:Representation", NS)
    assert video is not None
    assert audio is not None
    assert video.attrib["codecs"] == "avc1.64001e"
    assert (video.attrib["width"], video.attrib["height"]) == ("640", "360")
    assert (video.attrib["sar"], video.attrib["frameRate"]) == ("1:1", "25")
    assert audio.attrib["audioSamplingRate"] == "48000"
    assert int(video.attrib["bandwidth"]) > 0
    (channels,) = audio
    assert channels.attrib["value"] == "2"


def test_names_are_escaped() -> None:
    table = table_of(stream(9))
    table.session = 'a"<&'
    root = mpd(table)
    (period,) = root.iterfind("d:Period", NS)
    assert template(sets(period)["video"])["media"] == 'a"<&/video/$Number$.m4s'
