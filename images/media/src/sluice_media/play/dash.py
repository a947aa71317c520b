"""MPD of MPEG-DASH with low latency (ISO/IEC 23009-1:2022): table in, XML out.

The MPD is a pure function of the table. All times come from the media: presentation time 0 is the
start of the session, and a period relates media time to the wall clock. A new period begins when
that relation, the format or the tracks with media change, and behind missing segments. With one
period, players stay late for good after media was missing on the timeline.

Segments are addressed by number. The newest segment is listed while it grows, with an estimated
duration. Its parts are available before it is complete (@availabilityTimeComplete, 5.3.9.5.2).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from fractions import Fraction
from xml.etree import ElementTree as ET

from sluice_media.formats.cmaf import codec_string
from sluice_media.formats.cmaf.video_facts import video_facts
from sluice_media.formats.units import TICKS_PER_SECOND, TrackFormat, TrackKind
from sluice_media.play.cutter import PART_TICKS
from sluice_media.play.dash_timeline import Timeline
from sluice_media.play.segment import Period, Segment, number_of, track_name, utc_text
from sluice_media.play.table import SegmentTable

LATENCY_MS = 2_000
"""Latency that players keep, with the limits that they should not leave."""
MIN_LATENCY_MS = 1_000
MAX_LATENCY_MS = 6_000
_SLOWEST, _FASTEST = "0.96", "1.04"
_NAMESPACE = "urn:mpeg:dash:schema:mpd:2011"
_PROFILES = "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019"
_XSDATE = "urn:mpeg:dash:utc:http-xsdate:2014"
_CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
_PART_MARGIN = 2_700
"""Time after the end of a part at which it is surely there: 30 ms."""
_TIMELINE = "\N{OBJECT REPLACEMENT CHARACTER}{}\N{OBJECT REPLACEMENT CHARACTER}"
"""Text in the place of a timeline while the XML is written. A window of 4 h has 14,400 elements,
which are integers only and change rarely."""
_GUESSED_FROM = 5
_MAX_DENOMINATOR = 1_001


class Manifest:
    """MPD of one table, which remembers the timelines of closed segments."""

    def __init__(self, table: SegmentTable, *, end_list: bool = True) -> None:
        self._table = table
        self._end_list = end_list
        """True to make the MPD static when the session is over."""
        self._structure = -1
        self._rewrites = -1
        self._groups: list[_Group] = []

    def render(self) -> bytes:
        """Return the MPD. The table must be published."""
        table = self._table
        if self._structure != table.structure:
            self._structure = table.structure
            self._read()
        is_static = table.is_ended and self._end_list
        origin_us = table.started_us // 1_000_000 * 1_000_000
        root = self._root(origin_us, is_static=is_static)
        texts: list[str] = []
        for group in self._groups:
            first, period = group.segments[0], group.period
            if group is not self._groups[0] and _waits_for_a_track(first):
                # Players refuse a period in which a track is missing (shaka: error 4037).
                break
            start_us = max(0, period.wall_us(period.start) - origin_us)
            element = ET.Element("Period", id=f"p{period.number}", start=_duration(start_us))
            for track_format in table.formats[first.format_number]:
                track = track_format.track
                timeline = group.timelines.setdefault(track, Timeline())
                growing = self._growing(group, timeline, track)
                number = growing.number if growing and timeline.first is None else timeline.first
                if number is None:
                    continue
                token = _TIMELINE.format(len(texts))
                texts.append(timeline.text(self._estimated(growing, track)))
                self._adaptation_set(element, group, track_format, number, token, is_static)
            if len(element):
                root.append(element)
        ET.SubElement(root, "UTCTiming", schemeIdUri=_XSDATE, value="time")
        text = ET.tostring(root, encoding="unicode")
        for index, timeline_text in enumerate(texts):
            text = text.replace(_TIMELINE.format(index), timeline_text, 1)
        return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()

    def _read(self) -> None:
        """Bring the groups up to date with the table."""
        table, groups = self._table, self._groups
        if self._rewrites != table.rewrites:
            self._rewrites = table.rewrites
            groups.clear()
        oldest = table.segments[0].number
        while groups and groups[0].segments[-1].number < oldest:
            groups.pop(0)
        if groups and groups[0].segments[0].number < oldest:
            groups[0].drop_before(oldest)
        newest = groups[-1].segments[-1].number if groups else -1
        for segment in table.segments[bisect_right(table.segments, newest, key=number_of) :]:
            if segment.period is None:
                continue
            if not groups or groups[-1].period != segment.period:
                groups.append(_Group(segment.period))
            groups[-1].segments.append(segment)

    def _root(self, origin_us: int, *, is_static: bool) -> ET.Element:
        table = self._table
        newest = table.segments[-1].period
        assert newest is not None  # the table sets it
        end_us = newest.wall_us(_end(table.segments))
        root = ET.Element(
            "MPD",
            xmlns=_NAMESPACE,
            profiles=_PROFILES,
            type="static" if is_static else "dynamic",
            availabilityStartTime=utc_text(origin_us),
            publishTime=utc_text(end_us),
        )
        if is_static:
            root.set("mediaPresentationDuration", _duration(max(0, end_us - origin_us)))
        else:
            root.set("minimumUpdatePeriod", "PT1S")
            root.set("timeShiftBufferDepth", f"PT{table.depth_seconds}S")
            # For players without low latency. Shaka begins here, measured from the end of the
            # segment that grows, so a shorter delay is in the future for some of its viewers.
            root.set("suggestedPresentationDelay", f"PT{table.target_seconds}S")
        root.set("minBufferTime", "PT1S")
        longest = max((s.duration for s in table.segments if s.is_closed), default=0)
        root.set("maxSegmentDuration", _duration(longest * 100 // 9))
        service = ET.SubElement(root, "ServiceDescription", id="0")
        latency = {"target": LATENCY_MS, "min": MIN_LATENCY_MS, "max": MAX_LATENCY_MS}
        ET.SubElement(service, "Latency", {name: str(ms) for name, ms in latency.items()})
        ET.SubElement(service, "PlaybackRate", min=_SLOWEST, max=_FASTEST)
        return root

    def _adaptation_set(
        self,
        period: ET.Element,
        group: _Group,
        track_format: TrackFormat,
        start_number: int,
        token: str,
        is_static: bool,
    ) -> None:
        table = self._table
        name = track_name(track_format.track)
        folder = f"{table.session}/{name}"
        adaptation_set = ET.SubElement(
            period,
            "AdaptationSet",
            id=str(track_format.track),
            contentType=track_format.kind.value,
            segmentAlignment="true",
            startWithSAP="1",
        )
        template = ET.SubElement(
            adaptation_set,
            "SegmentTemplate",
            timescale=str(TICKS_PER_SECOND),
            presentationTimeOffset=str(group.period.start),
            initialization=f"{folder}/init.{group.segments[0].format_number}.mp4",
            media=f"{folder}/$Number$.m4s",
            startNumber=str(start_number),
        )
        if not is_static:
            early = max(0, self._guess() - PART_TICKS - _PART_MARGIN) / TICKS_PER_SECOND
            template.set("availabilityTimeOffset", f"{early:.3f}")
            template.set("availabilityTimeComplete", "false")
        ET.SubElement(template, "SegmentTimeline").text = token
        rate = table.rate(track_format.track)
        representation = ET.SubElement(
            adaptation_set,
            "Representation",
            id=name,
            mimeType=f"{track_format.kind.value}/mp4",
            codecs=codec_string(track_format),
            bandwidth=str(rate[0] if rate else 1),
        )
        _describe(representation, track_format)

    def _growing(self, group: _Group, timeline: Timeline, track: int) -> Segment | None:
        """Move the segments that are complete into the timeline; return the one that grows."""
        segments = group.segments
        for segment in segments[bisect_left(segments, timeline.next, key=number_of) :]:
            found = segment.tracks.get(track)
            if found is None or not found.parts:
                continue
            if not found.is_closed:
                return segment
            timeline.add(segment.number, found.start, found.duration)
        return None

    def _estimated(self, segment: Segment | None, track: int) -> tuple[int, int] | None:
        """Return start and probable duration of a segment that grows."""
        if segment is None:
            return None
        found = segment.tracks[track]
        whole = segment.duration if segment.is_published else self._guess()
        return found.start, max(found.duration, whole)

    def _guess(self) -> int:
        """Return the probable duration of a segment that grows: that of the longest of the last
        whole ones. A segment before a gap or another source is short, and says nothing."""
        published = [s.duration for s in self._table.segments[-_GUESSED_FROM:] if s.is_published]
        return max(published, default=self._table.target_seconds * TICKS_PER_SECOND // 2)


class _Group:
    """The segments of one period, and its timelines."""

    __slots__ = ("period", "segments", "timelines")

    def __init__(self, period: Period) -> None:
        self.period = period
        self.segments: list[Segment] = []
        self.timelines: dict[int, Timeline] = {}
        """Timelines of the complete segments, by track."""

    def drop_before(self, number: int) -> None:
        """Drop the segments before ``number``."""
        del self.segments[: bisect_left(self.segments, number, key=number_of)]
        for timeline in self.timelines.values():
            timeline.drop_before(number)


def _describe(representation: ET.Element, track_format: TrackFormat) -> None:
    """Add the attributes of the track's kind (5.3.7.2)."""
    if track_format.kind is TrackKind.AUDIO:
        representation.set("audioSamplingRate", str(track_format.sample_rate))
        if track_format.channels:
            ET.SubElement(
                representation,
                "AudioChannelConfiguration",
                schemeIdUri=_CHANNELS,
                value=str(track_format.channels),
            )
        return
    facts = video_facts(track_format)
    representation.set("width", str(track_format.width))
    representation.set("height", str(track_format.height))
    representation.set("sar", ":".join(map(str, facts.sample_aspect)))
    if facts.frame_rate:
        rate = Fraction(facts.frame_rate).limit_denominator(_MAX_DENOMINATOR)
        whole = rate.denominator == 1
        text = str(rate.numerator) if whole else f"{rate.numerator}/{rate.denominator}"
        representation.set("frameRate", text)


def _waits_for_a_track(segment: Segment) -> bool:
    """Return whether a track of the segment has no unit yet, and may still get one."""
    return any(not track.parts and not track.is_closed for track in segment.tracks.values())


def _end(segments: Sequence[Segment]) -> int:
    """Return the media time of the end of the newest part of any track."""
    return max(
        (
            track.start + track.duration
            for segment in segments[-2:]
            for track in segment.tracks.values()
            if track.parts
        ),
        default=segments[-1].start,
    )


def _duration(us: int) -> str:
    """Return microseconds as xs:duration."""
    return f"PT{us // 1_000_000}.{us % 1_000_000:06d}S"
