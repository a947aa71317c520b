"""Playlists and MPDs of any source, at every moment: valid, and the same in every pod."""

from __future__ import annotations

import re
from itertools import pairwise, takewhile
from xml.etree import ElementTree as ET

import m3u8
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_media.contract import TimelineSegment
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.play import hls, ts_hls
from sluice_media.play.cutter import Cutter
from sluice_media.play.dash import Manifest
from sluice_media.play.table import SegmentTable
from sluice_media.timeline.framing import Record
from tests.support.playback import format_record, records, table_of
from tests.unit.play.streams import from_segment, sources

Source = tuple[tuple[TrackFormat, ...], list[AccessUnit]]
NS = {"d": "urn:mpeg:dash:schema:mpd:2011"}


class Pod:
    """A pod that has kept its playlists since it began."""

    def __init__(self, window_seconds: int) -> None:
        self.table = SegmentTable("5e55", 0, window_seconds)
        self.cutter = Cutter()
        self._media: dict[int, hls.MediaPlaylist] = {}
        self._ts = ts_hls.TsPlaylist(self.table)
        self._manifest = Manifest(self.table)

    def feed(self, record: Record | TimelineSegment) -> int:
        """Take a record; return the number of events."""
        events = self.cutter.feed(record)
        for event in events:
            self.table.apply(event)
        return len(events)

    def texts(self) -> list[str]:
        for track in self.table.tracks:
            self._media.setdefault(track, hls.MediaPlaylist(self.table, track))
        found = [hls.multivariant(self.table), ts_hls.multivariant(self.table), self._ts.render()]
        for media in self._media.values():
            found += [media.render(), media.render(skip=True)]
        return [*found, self._manifest.render().decode()]


def fresh_texts(table: SegmentTable) -> list[str]:
    found = [hls.multivariant(table), ts_hls.multivariant(table), ts_hls.TsPlaylist(table).render()]
    for track in table.tracks:
        found.append(hls.MediaPlaylist(table, track).render())
        found.append(hls.MediaPlaylist(table, track).render(skip=True))
    return [*found, Manifest(table).render().decode()]


def check(texts: list[str]) -> None:
    for text in texts[:-1]:
        m3u8.M3U8(text, strict=True)
        for duration, target in re.findall(r"PART:DURATION=([\d.]+).*?(?=\n)()", text):
            assert not target
            assert float(duration) <= hls.PART_TARGET
    for period in ET.fromstring(texts[-1]).iterfind("d:Period", NS):
        for timeline in period.iterfind(".//d:SegmentTimeline", NS):
            runs: list[tuple[int, int]] = []
            for s in timeline:
                duration, count = int(s.attrib["d"]), int(s.attrib.get("r", 0)) + 1
                start = int(s.attrib.get("t", runs[-1][1] if runs else 0))
                assert duration > 0
                runs.append((start, start + duration * count))
            assert all(end <= start for (_, end), (start, _) in pairwise(runs))


def changed(found: list[Record | TimelineSegment], number: int, **values: object) -> None:
    """Change the records of all segments from ``number`` on."""
    for place, record in enumerate(found):
        if isinstance(record, TimelineSegment) and record.number >= number:
            found[place] = record.model_copy(update=values)


@settings(max_examples=30, deadline=None)
@given(sources(), st.data())
def test_playlists_are_valid_and_do_not_depend_on_what_was_rendered_before(
    source: Source, data: st.DataObject
) -> None:
    found = records(*source, ended=data.draw(st.booleans()))
    if data.draw(st.booleans()):
        changed(found, data.draw(st.integers(1, 4)), format_number=1)
    if data.draw(st.booleans()):
        later = data.draw(st.integers(1, 4))
        changed(found, later, anchor_dts=0, run="b2")
    if data.draw(st.booleans()):
        lost = data.draw(st.integers(1, 3))
        begin = next((i for i, r in enumerate(found) if getattr(r, "number", 0) == lost), 0)
        del found[begin : begin + data.draw(st.integers(0, 400))]
        found.insert(0, format_record(source[0]))
    pod = Pod(data.draw(st.sampled_from([0, 20])))
    count = 0
    for record in found:
        events = pod.feed(record)
        count += events
        if events and pod.table.is_published and count % 3 == 0:
            pod.texts()
    if pod.table.is_published:
        texts = pod.texts()
        check(texts)
        assert texts == fresh_texts(pod.table)


@settings(max_examples=30, deadline=None)
@given(sources(), st.data())
def test_a_pod_that_began_later_and_copied_the_rest_has_the_same_playlists(
    source: Source, data: st.DataObject
) -> None:
    found = records(*source, ended=False)
    whole = table_of(found)
    if not whole.is_published:
        return
    # Only whole segments can be copied.
    closed = list(takewhile(lambda segment: segment.is_closed, whole.segments))
    number = data.draw(st.integers(0, len(closed)))
    if number == len(whole.segments):
        return
    later = table_of(from_segment(found, number))
    for segment in whole.segments:
        if segment.is_closed:
            later.insert(segment, whole.formats[segment.format_number])
    assert fresh_texts(later) == fresh_texts(whole)
