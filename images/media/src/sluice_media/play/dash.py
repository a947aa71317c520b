"""MPD of MPEG-DASH with low latency (ISO/IEC 23009-1:2022): table in, XML out.

The MPD is a pure function of the table. All times come from the media: presentation time 0 is the
start of the session, and a period relates media time to the wall clock. A new period begins when
that relation, the format or the tracks with media change, and behind missing segments. With one
period, players stay late for good after media was missing on the timeline.

Segments are addressed by number. The newest segment is listed while it grows, with an estimated
duration. Its parts are available before it is complete (@availabilityTimeComplete, 5.3.9.5.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby
from xml.etree import ElementTree as ET

from sluice_media.formats.cmaf import codec_string
from sluice_media.formats.cmaf.video_facts import video_facts
from sluice_media.formats.units import TICKS_PER_SECOND, TrackFormat, TrackKind
from sluice_media.play.cutter import PART_TICKS
from sluice_media.play.segment import Period, Segment, track_name, utc_text
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
_MAX_DENOMINATOR = 1_001


class Manifest:
    """MPD of one table, which remembers the timelines of closed segments."""

    def __init__(self, table: SegmentTable, *, end_list: bool = True) -> None:
        self._table = table
        self._end_list = end_list
        """True to make the MPD static when the session is over."""
        self._structure = -1
        self._groups: list[tuple[Period, list[Segment]]] = []
        self._known: dict[tuple[int, int], tuple[tuple[int, int, int], _Timeline]] = {}
        """Timeline of the closed segments, by period and track, and the content it stands for."""

    def render(self) -> bytes:
        """Return the MPD. The table must be published."""
        table = self._table
        if self._structure != table.structure:
            self._structure = table.structure
            self._groups = [
                (period, list(segments))
                for period, segments in groupby(table.segments, lambda s: s.period)
                if period is not None
            ]
        is_static = table.is_ended and self._end_list
        origin_us = table.started_us // 1_000_000 * 1_000_000
        root = self._root(origin_us, is_static=is_static)
        timelines: list[str] = []
        used: set[tuple[int, int]] = set()
        for period, segments in self._groups:
            start_us = max(0, segments[0].wall_us(period.start) - origin_us)
            element = ET.Element("Period", id=f"p{period.number}", start=_duration(start_us))
            for track_format in table.formats[segments[0].format_number]:
                key = (period.number, track_format.track)
                used.add(key)
                timeline = self._timeline(key, segments, track_format.track)
                if timeline.first is None:
                    continue
                token = _TIMELINE.format(len(timelines))
                timelines.append(timeline.text())
                self._adaptation_set(
                    element, segments[0], track_format, timeline.first, token, is_static
                )
            if len(element):
                root.append(element)
        ET.SubElement(root, "UTCTiming", schemeIdUri=_XSDATE, value="time")
        self._known = {key: value for key, value in self._known.items() if key in used}
        text = ET.tostring(root, encoding="unicode")
        for index, timeline_text in enumerate(timelines):
            text = text.replace(_TIMELINE.format(index), timeline_text, 1)
        return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()

    def _root(self, origin_us: int, *, is_static: bool) -> ET.Element:
        table = self._table
        newest = table.segments[-1]
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
            root.set("timeShiftBufferDepth", f"PT{table.window_seconds}S")
            root.set("suggestedPresentationDelay", _duration(LATENCY_MS * 1_000))
        root.set("minBufferTime", "PT1S")
        root.set("maxSegmentDuration", f"PT{table.target_seconds}S")
        service = ET.SubElement(root, "ServiceDescription", id="0")
        latency = {"target": LATENCY_MS, "min": MIN_LATENCY_MS, "max": MAX_LATENCY_MS}
        ET.SubElement(service, "Latency", {name: str(ms) for name, ms in latency.items()})
        ET.SubElement(service, "PlaybackRate", min=_SLOWEST, max=_FASTEST)
        return root

    def _adaptation_set(
        self,
        period: ET.Element,
        first: Segment,
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
            presentationTimeOffset=str(first.period.start if first.period else first.start),
            initialization=f"{folder}/init.{first.format_number}.mp4",
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

    def _timeline(self, key: tuple[int, int], segments: Sequence[Segment], track: int) -> _Timeline:
        """Return the timeline of a track in a period."""
        end = len(segments)
        while end and not segments[end - 1].tracks[track].is_closed:
            end -= 1
        state = (self._table.rewrites, segments[0].number, segments[end - 1].number if end else -1)
        known = self._known.get(key)
        if known is None or known[0] != state:
            timeline = _Timeline()
            for segment in segments[:end]:
                found = segment.tracks[track]
                if found.parts:
                    timeline.add(segment.number, found.start, found.duration)
            self._known[key] = known = (state, timeline)
        growing = [s for s in segments[end:] if s.tracks[track].parts]
        if not growing:
            return known[1]
        timeline = known[1].copy()
        for segment in growing:
            found = segment.tracks[track]
            whole = segment.duration if segment.is_published else self._guess()
            timeline.add(segment.number, found.start, max(found.duration, whole))
        return timeline

    def _guess(self) -> int:
        """Return the probable duration of a segment that grows: that of the newest whole one."""
        for segment in reversed(self._table.segments):
            if segment.is_published:
                return segment.duration
        return self._table.target_seconds * TICKS_PER_SECOND // 2


class _Timeline:
    """SegmentTimeline: segments as runs of equal duration (5.3.9.6)."""

    __slots__ = ("_runs", "_text", "first")

    def __init__(self) -> None:
        self.first: int | None = None
        """Number of the first segment; None while there is none."""
        self._runs: list[tuple[int, int, int]] = []
        """Start, duration and number of segments of each run."""
        self._text: str | None = None

    def copy(self) -> _Timeline:
        twin = _Timeline()
        twin.first = self.first
        twin._runs = self._runs.copy()
        return twin

    def add(self, number: int, start: int, duration: int) -> None:
        """Append a segment. A segment before it that is too long is shortened."""
        if self.first is None:
            self.first = number
        self._text = None
        if self._runs:
            run_start, run_duration, count = self._runs[-1]
            end = run_start + run_duration * count
            if start == end and duration == run_duration:
                self._runs[-1] = (run_start, run_duration, count + 1)
                return
            last_start = end - run_duration
            if last_start < start < end:
                self._runs.pop()
                if count > 1:
                    self._runs.append((run_start, run_duration, count - 1))
                self._runs.append((last_start, start - last_start, 1))
        self._runs.append((start, duration, 1))

    def text(self) -> str:
        """Return the S elements."""
        if self._text is None:
            parts = []
            expected = None
            for start, duration, count in self._runs:
                time = f' t="{start}"' if start != expected else ""
                repeat = f' r="{count - 1}"' if count > 1 else ""
                parts.append(f'<S{time} d="{duration}"{repeat} />')
                expected = start + duration * count
            self._text = "".join(parts)
        return self._text


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
