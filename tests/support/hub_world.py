"""A hub, its publishers and its readers, without a network and with a virtual clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from sluice_media.contract import (
    IngestConfig,
    LegAck,
    LegHello,
    TimelineAck,
    TimelineAnchor,
    TimelineEnd,
    TimelineFormat,
    TimelineGap,
)
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from sluice_media.hub.clock import Moment
from sluice_media.hub.hub import Hub
from sluice_media.hub.legs.leg import Leg, LegName
from sluice_media.hub.output.readers import Reader
from sluice_media.hub.output.timeline import Request
from sluice_media.timeline.framing import Record, TimelineDecoder

START_US = int(datetime(2026, 3, 1, 10, 0, tzinfo=UTC).timestamp()) * 1_000_000
VIDEO = TrackFormat(0, TrackKind.VIDEO, Codec.H264, b"sps1", width=1280, height=720)
VIDEO_1080 = TrackFormat(0, TrackKind.VIDEO, Codec.H264, b"sps2", width=1920, height=1080)
AUDIO = TrackFormat(1, TrackKind.AUDIO, Codec.AAC, b"\x11\x90", sample_rate=48_000, channels=2)
AUDIO_FRAME = 1_920


def config(**changes: object) -> IngestConfig:
    base = IngestConfig(namespace="n", name="s", uid="stream-uid", title="A stream")
    return base.model_copy(update=changes)


class World:
    """A hub and its clock. Time passes only in :meth:`pass_time`, in steps of the real hub's
    tick."""

    def __init__(self, **changes: object) -> None:
        self.monotonic = 1_000.0
        self.hub = Hub(config(**changes))
        self._connections = 0
        self._readers: list[VirtualReader] = []

    @property
    def now(self) -> Moment:
        return Moment(self.monotonic, START_US + round((self.monotonic - 1_000) * 1_000_000))

    def pass_time(self, seconds: float) -> None:
        end = self.monotonic + seconds
        while self.monotonic < end - 1e-9:
            self.monotonic = min(end, self.monotonic + 0.1)
            self.hub.tick(self.now)
        for reader in self._readers:
            reader.catch_up()

    def publish(
        self,
        *,
        name: LegName | None = LegName.PRIMARY,
        protocol: str = "RTMP",
        remote: str = "",
        connection: str | None = None,
        resume: LegAck | None = None,
        **source: object,
    ) -> Publisher:
        self._connections += 1
        hello = LegHello(
            protocol=protocol,
            remote=remote,
            connection=connection or f"connection-{self._connections}",
            resume=resume,
        )
        leg = self.hub.admit(name, hello, self.now)
        return Publisher(self, leg, **source)  # type: ignore[arg-type]

    def read(self, role: str = "recorder", name: str = "r", **request: object) -> VirtualReader:
        whole = role == "recorder"
        timeline_request = Request(whole=whole, recorder=whole, **request)  # type: ignore[arg-type]
        reader = Reader(name, role, timeline_request, self.now)
        self.hub.readers.attach(reader)
        virtual = VirtualReader(self, reader)
        self._readers.append(virtual)
        return virtual


@dataclass
class Publisher:
    """An encoder: video frames every 40 ms with a keyframe each second, audio every 21.3 ms."""

    world: World
    leg: Leg
    formats: tuple[TrackFormat, ...] = (VIDEO, AUDIO)
    first_dts: int = 0
    frame: int = 3_600
    gop: int = 25
    reorder: int = 0
    """Number of frames between decoding and display (B-frames)."""
    open_gop: bool = False
    """True: two frames after each keyframe are shown before it, and refer to the former GOP."""
    audio_delay: float = 0.0
    """Seconds until the first audio frame."""
    first_picture: int = 0
    label: str = ""
    """Prefix of its payloads. Publishers with equal labels send equal bitstreams."""
    still: bool = False
    """True: each GOP has the coding of the GOP before."""
    made_at: dict[bytes, float] = field(default_factory=dict)
    """Payload of a video frame -> monotonic second at which it was made."""
    sent: list[AccessUnit] = field(default_factory=list)
    _position: int = 0
    _audio_frames: int = 0

    def __post_init__(self) -> None:
        self._picture = self.first_picture
        self.world.hub.take_formats(self.leg, self.formats)

    def send(self, seconds: float, *, arriving: bool = True) -> None:
        """Send ``seconds`` of media in real time. ``arriving=False``: it is lost on its way."""
        for unit in self.units(seconds):
            if arriving:
                self.sent.append(unit)
                self.world.hub.take_unit(self.leg, unit, self.world.now)

    def burst(self, units: list[AccessUnit]) -> None:
        """Send units at once."""
        for unit in units:
            self.sent.append(unit)
            self.leg.bytes_arrived(len(unit.payload), self.world.now)
            self.world.hub.take_unit(self.leg, unit, self.world.now)

    def end(self) -> None:
        self.world.hub.end_leg(self.leg, None, self.world.now)

    def units(self, seconds: float, *, in_real_time: bool = True) -> Iterator[AccessUnit]:
        """Yield the next units; advance the world's clock with them."""
        world = self.world
        started, begin = world.monotonic, self._position
        end = begin + round(seconds * 90_000)
        for dts, track in self._schedule(end):
            if in_real_time:
                world.pass_time(max(0.0, started + (dts - begin) / 90_000 - world.monotonic))
                self.leg.bytes_arrived(100, world.now)
            yield self._unit(track, dts)
        self._position = end
        if in_real_time:
            world.pass_time(max(0.0, started + seconds - world.monotonic))

    def _schedule(self, end: int) -> list[tuple[int, int]]:
        times: list[tuple[int, int]] = []
        if any(f.kind is TrackKind.VIDEO for f in self.formats):
            picture = self._picture
            while (dts := (picture - self.first_picture) * self.frame) < end:
                times.append((dts, 0))
                picture += 1
        if any(f.kind is TrackKind.AUDIO for f in self.formats):
            frame = self._audio_frames
            delay = round(self.audio_delay * 90_000)
            while (dts := delay + frame * AUDIO_FRAME) < end:
                times.append((dts, 1))
                frame += 1
        return sorted(times)

    def _unit(self, track: int, dts: int) -> AccessUnit:
        if track == 1:
            number, flags, pts = self._audio_frames, UnitFlags.NONE, dts
            self._audio_frames += 1
        else:
            number = self._picture
            flags = UnitFlags.RANDOM_ACCESS if number % self.gop == 0 else UnitFlags.NONE
            pts = dts + self._delay(number)
            self._picture += 1
        if self.still and track == 0:
            number %= self.gop
        payload = f"{self.label or self.leg.hello.connection}/{track}/{number}".encode()
        shift = self.first_dts
        return AccessUnit(track, dts + shift, pts + shift, flags, self.world.now.utc_us, payload)

    def _delay(self, number: int) -> int:
        """Return the time between decoding and display. In I P B B, an anchor is shown after the
        two frames that refer to it."""
        if self.open_gop:
            return 3 * self.frame if number % 3 == 0 else 0
        if not self.reorder:
            return 0
        place = number % self.gop
        if place == 0:
            return self.reorder * self.frame
        return (3 if place % 3 == 1 else 0) * self.frame + (self.reorder - 1) * self.frame


class VirtualReader:
    """A reader that reads like the HTTP endpoint, and keeps its records."""

    def __init__(self, world: World, reader: Reader) -> None:
        self.world = world
        self.reader = reader
        self.records: list[Record] = []
        self._decoder = TimelineDecoder()

    def catch_up(self) -> list[Record]:
        """Read to the head; return the new records."""
        fresh: list[Record] = []
        reader, hub = self.reader, self.world.hub
        if reader.timeline is None:
            timeline = hub.output.find(reader.request)
            if timeline is None:
                reader.wait()
                return []
            fresh += self._decoder.feed(reader.begin(timeline))
        assert reader.timeline is not None
        while not reader.at_head:
            data, seq = reader.timeline.ring.read(reader.seq, 1 << 16)
            reader.advanced(seq, self.world.now)
            fresh += self._decoder.feed(data)
        self.records += fresh
        return fresh

    @property
    def units(self) -> list[AccessUnit]:
        self.catch_up()
        return [r for r in self.records if isinstance(r, AccessUnit)]

    @property
    def gaps(self) -> list[TimelineGap]:
        self.catch_up()
        return [r for r in self.records if isinstance(r, TimelineGap)]

    @property
    def anchors(self) -> list[TimelineAnchor]:
        self.catch_up()
        return [r for r in self.records if isinstance(r, TimelineAnchor)]

    @property
    def formats(self) -> list[TimelineFormat]:
        self.catch_up()
        return [r for r in self.records if isinstance(r, TimelineFormat)]

    @property
    def end(self) -> TimelineEnd | None:
        self.catch_up()
        ends = [r for r in self.records if isinstance(r, TimelineEnd)]
        assert len(ends) <= 1
        assert not ends or self.records[-1] is ends[0]
        return ends[0] if ends else None

    def payloads(self, track: int = 0) -> list[bytes]:
        return [unit.payload for unit in self.units if unit.track == track]


def acked(world: World, reader: str, dts: int) -> None:
    """Acknowledge all media of the present session up to ``dts``, as the reader."""
    timeline = world.hub.output.timeline
    assert timeline is not None
    world.hub.readers.acknowledge(TimelineAck(reader=reader, timeline=timeline.id, dts=dts))


def assert_strictly_increasing(units: list[AccessUnit]) -> None:
    for track in {unit.track for unit in units}:
        times = [unit.dts for unit in units if unit.track == track]
        assert all(a < b for a, b in pairwise(times)), f"track {track} steps back"
    assert all(unit.pts >= unit.dts for unit in units)
