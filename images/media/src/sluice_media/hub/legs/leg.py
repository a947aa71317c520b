"""A leg: one connected source, its state and its held units.

In: its formats, its units and ticks. Out: its state, its reference track and, while it does not
feed the output, the units at which the output can switch to it.

A leg delivers from its first random access point until it ends or its reference track is silent
for 2 s. A track is not silent while bytes of its next picture arrive. The reference track is
video; it is audio when the headers declare no video, or when no picture arrived for 2 s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum

from sluice_media.contract import LegAck, LegEnd, LegHello
from sluice_media.formats.codecs.aac import FRAME_LIMIT_BYTES
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit, TrackFormat, TrackKind
from sluice_media.hub.clock import Moment
from sluice_media.hub.legs.content_clock import ContentClock
from sluice_media.hub.legs.stretches import Stretches
from sluice_media.timeline.source_clock import SourceClock

SILENCE_SECONDS = 2.0
"""Time without units of the reference track after which a leg does not deliver."""
SLOW_PICTURE_SECONDS = 3.0
"""Maximum time for the bytes of one picture. An encoder's rate control gives a keyframe about the
bytes of one second. A keyframe that takes 3 s means that the uplink cannot carry the stream, and
bytes that never become a picture must not keep a leg on air."""
VIDEO_WAIT_SECONDS = 2.0
"""Time that audio waits for a first picture, unless the headers declare that there is no video."""
HOLE = 2 * TICKS_PER_SECOND
"""Step of the reference track's DTS beyond which a held leg has lost media. While the leg feeds the
output, the splicer decides instead."""
STALL_FRAMES = 3
"""A leg stalls after at least this many of its frame steps: a leg with one picture per second must
not stall after one second."""
LOOK_BACK_SECONDS = 12.0
LOOK_BACK_BYTES = 32 << 20
PULL = "Pull"
"""The protocol of a leg that the pod itself pulls."""


class LegName(StrEnum):
    """The two places for publishers of a stream, in order of preference."""

    PRIMARY = "primary"
    BACKUP = "backup"


class LegState(StrEnum):
    """The life of a leg."""

    WAITING = "waiting"
    """Connected; no random access point yet."""
    DELIVERING = "delivering"
    SILENT = "silent"
    """Connected, but the reference track has stopped."""
    ENDED = "ended"


class LookBack:
    """The last units of a leg that does not feed the output, bounded in time and bytes."""

    def __init__(
        self, max_seconds: float = LOOK_BACK_SECONDS, max_bytes: int = LOOK_BACK_BYTES
    ) -> None:
        self._max_us = int(max_seconds * 1_000_000)
        self._max_bytes = max_bytes
        self._units: deque[AccessUnit] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._units)

    def add(self, unit: AccessUnit) -> None:
        self._units.append(unit)
        self._bytes += len(unit.payload)
        oldest_us = unit.utc_us - self._max_us
        while self._bytes > self._max_bytes or self._units[0].utc_us < oldest_us:
            self._bytes -= len(self._units.popleft().payload)
            if not self._units:
                break

    def of(self, track: int) -> list[AccessUnit]:
        """Return the units of one track, oldest first."""
        return [unit for unit in self._units if unit.track == track]

    def all(self) -> list[AccessUnit]:
        return list(self._units)

    def from_(self, first: AccessUnit) -> list[AccessUnit]:
        """Return ``first`` and all units behind it in DTS, including units of other tracks that
        arrived before it."""
        units: list[AccessUnit] = []
        seen = False
        for unit in self._units:
            seen = seen or unit is first
            if seen or (unit.track != first.track and unit.dts >= first.dts):
                units.append(unit)
        # The entry itself comes first, so that the output begins at a random access point.
        units.sort(key=lambda unit: unit is not first)
        return units

    def clear(self) -> None:
        self._units.clear()
        self._bytes = 0


@dataclass(slots=True)
class Leg:
    """State of one connection. Only the hub and the leg's feed change it."""

    name: LegName
    hello: LegHello
    connected_at: Moment
    _: KW_ONLY
    state: LegState = LegState.WAITING
    formats: tuple[TrackFormat, ...] = ()
    video_track: int | None = None
    reference: int | None = None
    """The reference track; None until it is known."""
    left_out: str = ""
    """Codec of audio that is not carried; empty when there is none."""
    end: LegEnd | None = None
    """Reason for which the hub ended the leg. The connection sends it and closes."""
    look_back: LookBack = field(default_factory=LookBack)
    last_byte_at: float = 0.0
    """Monotonic seconds of the last byte."""
    last_reference_at: float = 0.0
    """Monotonic seconds of the last unit of the reference track (or of the connection)."""
    under_way_at: float = 0.0
    """Monotonic seconds of the last bytes of a picture that is not complete."""
    last_random_access_at: float = 0.0
    last_picture_at: float = 0.0
    delivers_since: float = 0.0
    """Monotonic seconds of the random access point with which the leg began to deliver."""
    content: ContentClock = field(default_factory=ContentClock)
    clock: SourceClock = field(default_factory=SourceClock)
    """The leg's steady clock. All units that the hub holds have its times."""
    stretches: Stretches = field(init=False)
    """The offsets from source to output, by range of the leg's times."""
    bytes_in: int = 0
    resume: LegAck | None = None
    """The map of another hub; None once it has been used."""
    _tracks: frozenset[int] = frozenset()
    _unfinished: int = 0
    """Bytes since the last unit of the reference track, minus the units of other tracks."""
    held_dts: int | None = None
    """Steady DTS of the last held unit of the reference track; None while the leg feeds the
    output."""
    _steady_since: float | None = None
    _declares_video: bool | None = None
    _first_media_at: float | None = None
    _video_seen: bool = False

    def __post_init__(self) -> None:
        now = self.connected_at.monotonic
        self.last_byte_at = self.last_reference_at = self.last_random_access_at = now
        self.resume = self.hello.resume
        self.stretches = Stretches(self.resume)

    @property
    def connected(self) -> bool:
        return self.state is not LegState.ENDED

    @property
    def delivers(self) -> bool:
        return self.state is LegState.DELIVERING

    @property
    def is_pull(self) -> bool:
        return self.hello.protocol == PULL

    def flows(self, now: float, stall_seconds: float) -> bool:
        """Return whether bytes and units of the reference track arrive.

        Bytes without media, or audio without its video, do not count. A low frame rate is allowed,
        and so is a large picture on a slow line."""
        if self.reference is None or not self.connected:
            return False
        limit = max(stall_seconds, STALL_FRAMES * self.content.frame_seconds)
        return now - min(self.last_byte_at, self._last_activity_at(now)) < limit

    def steady_seconds(self, now: float) -> float:
        """Return the seconds for which the leg has flowed without an interruption."""
        return 0.0 if self._steady_since is None else now - self._steady_since

    def content_us(self, unit: AccessUnit) -> int:
        """Return the wall clock of a unit's content, see :class:`ContentClock`."""
        at = self.content.utc_us(unit.dts)
        return unit.utc_us if at is None else min(at, unit.utc_us)

    def silent_seconds(self, now: Moment) -> float:
        """Return the seconds since the last byte, to detect a half-open connection."""
        return now.monotonic - self.last_byte_at

    def bytes_arrived(self, count: int, now: Moment) -> None:
        """Count bytes of the container, before the units in them."""
        self.bytes_in += count
        self.last_byte_at = now.monotonic
        self._unfinished += count
        # Only a picture can have more bytes than this limit for audio frames.
        if self._unfinished > FRAME_LIMIT_BYTES:
            self.under_way_at = now.monotonic

    def picture_comes(self, now: Moment) -> None:
        """Note that the gateway has received more bytes of a picture that is not complete."""
        self.under_way_at = now.monotonic

    def declare(self, *, has_video: bool) -> None:
        """Note whether the container's header declares video. Without such a header, a leg has no
        video when no picture arrives for 2 s."""
        self._declares_video = has_video

    def take_formats(self, formats: Sequence[TrackFormat]) -> None:
        if tuple(formats) == self.formats:
            return
        if not set(self.formats) <= set(formats):
            # The held units have another format.
            self.look_back.clear()
        self.formats = tuple(formats)
        self.video_track = next((f.track for f in formats if f.kind is TrackKind.VIDEO), None)
        self._tracks = frozenset(f.track for f in formats)

    def has_track(self, track: int) -> bool:
        return track in self._tracks

    @property
    def shift(self) -> int:
        """Steady DTS minus source DTS of the reference track."""
        return self.clock.shift(self.video_track if self.reference is None else self.reference)

    def steady(self, unit: AccessUnit, now: Moment) -> AccessUnit | None:
        """Return a unit of the source with steady times; None when it has no output time."""
        placed = self.stretches.place(unit)
        if placed is None:
            return None
        lead = self.reference if self.video_track is None else self.video_track
        return self.clock.take(placed, now.monotonic, lead=lead)

    def arrived(self, unit: AccessUnit, now: Moment) -> bool:
        """Note a unit. Return False when no random access point came before it, so that it cannot
        be decoded."""
        if self._first_media_at is None:
            self._first_media_at = now.monotonic
        self._unfinished = max(0, self._unfinished - len(unit.payload))
        if unit.track == self.video_track:
            self.last_picture_at = now.monotonic
            if not self._video_seen and not unit.is_random_access:
                self._first_picture_came()
                return False
            self._video_seen = True
            self.reference = unit.track
        elif self._audio_may_lead(now):
            self.reference = unit.track
        if unit.track == self.reference:
            self._reference_came(unit, now)
        return True

    def hold(self, unit: AccessUnit, now: Moment) -> None:
        """Note a unit and hold it, for a switch to this leg."""
        if not self.arrived(unit, now):
            return
        if unit.track == (self.reference if self.reference is not None else unit.track):
            if self.held_dts is not None and abs(unit.dts - self.held_dts) > HOLE:
                # The source lost media: the units held so far cannot be continued.
                self.restart()
                if not self.arrived(unit, now):
                    return
            self.held_dts = unit.dts
        self.look_back.add(unit)

    def tick(self, now: Moment, stall_seconds: float) -> None:
        """Update the state: a leg whose reference track has no units becomes silent."""
        idle = now.monotonic - self._last_activity_at(now.monotonic)
        if self.delivers and idle >= SILENCE_SECONDS:
            self.state = LegState.SILENT
        if not self.flows(now.monotonic, stall_seconds):
            self._steady_since = None
        elif self._steady_since is None:
            self._steady_since = now.monotonic

    def restart(self) -> None:
        """Wait for a random access point again, after an interruption of the media."""
        self.look_back.clear()
        self.clock.restart(self.video_track if self.reference is None else self.reference)
        self.reference = None
        self.held_dts = None
        self._video_seen = False
        self._first_media_at = None
        self._steady_since = None
        self.content = ContentClock()
        if self.connected:
            self.state = LegState.WAITING

    def release_held(self) -> list[AccessUnit]:
        """Remove and return the held units, because the leg feeds the output from now on."""
        units = self.look_back.all()
        self.look_back.clear()
        self.held_dts = None
        return units

    def held_reference(self) -> list[AccessUnit]:
        """Return the held units of the reference track, oldest first."""
        return [] if self.reference is None else self.look_back.of(self.reference)

    def entries(self) -> list[AccessUnit]:
        """Return the held units at which this leg can be entered, oldest first.

        For video these are random access points; for audio, all units."""
        is_video = self.reference == self.video_track
        return [u for u in self.held_reference() if u.is_random_access or not is_video]

    def finish(self, end: LegEnd | None = None) -> None:
        self.state = LegState.ENDED
        self.end = self.end or end
        self.look_back.clear()

    def _last_activity_at(self, now: float) -> float:
        """Return the monotonic seconds of the reference track's last unit, or of the last bytes of
        its next one."""
        if now - self.last_reference_at < SLOW_PICTURE_SECONDS:
            return max(self.last_reference_at, self.under_way_at)
        return self.last_reference_at

    def _reference_came(self, unit: AccessUnit, now: Moment) -> None:
        self.last_reference_at = now.monotonic
        self._unfinished = 0
        self.content.add(unit.dts, unit.utc_us)
        is_video = unit.track == self.video_track
        if unit.is_random_access or not is_video:
            self.last_random_access_at = now.monotonic
        elif self.state is LegState.WAITING:
            return
        if self.state is not LegState.DELIVERING and self.connected:
            self.state = LegState.DELIVERING
            self.delivers_since = now.monotonic

    def _first_picture_came(self) -> None:
        """Note a picture before the first random access point: the stream has video."""
        self._declares_video = True
        if self.state is LegState.WAITING:
            self.reference = self.video_track

    def _audio_may_lead(self, now: Moment) -> bool:
        if self._video_seen or self.reference is not None:
            return False
        if self._declares_video is False and self.video_track is None:
            return True
        waited = now.monotonic - (self._first_media_at or now.monotonic)
        return waited >= VIDEO_WAIT_SECONDS
