"""A publisher, its gateway and the hubs it meets, without a network and with a clock of their own.

The gateway is what of it decides: records, retention and map. A recorder reads at the hub, and what
it holds durably is as old as its longest chunk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sluice_media.contract import LegAck, TimelineAck
from sluice_media.formats.units import AccessUnit
from sluice_media.hub.feed import UnitFeed
from sluice_media.hub.output.splicer import FIRST_DTS
from sluice_media.publishing.budget import RetentionBudget
from sluice_media.publishing.keeper import LegMap
from sluice_media.publishing.leg import PREAMBLE
from sluice_media.publishing.leg_records import LegEncoder, LegRecord
from sluice_media.publishing.retention import Retention
from tests.support.hub_rig import AUDIO, VIDEO
from tests.support.hub_world import Publisher, World

CHUNK_TICKS = 6 * 90_000
_ACK_UNITS = 15
"""Acknowledgements come every 200 ms."""


class Takeover:
    """One publisher, with its gateway, its present hub and a reader."""

    def __init__(self, **config: object) -> None:
        self._config = config
        self.world = World(**config)
        self.kept = Retention(60, 64 << 20, self._clock, RetentionBudget(1 << 30))
        self._records = LegEncoder(self._clock)
        self._map = LegMap(self.kept)
        self.recorder = self.world.read()
        self.encoder = self._publish(None)
        self.encoder.first_dts = 900_000_000
        self.sound_base = 0
        """Ticks by which the clock of the sound is ahead of the pictures'."""
        self.sent: list[AccessUnit] = []
        self.out: list[AccessUnit] = []
        """What a reader takes that follows the stream over all hubs."""
        self._last: dict[int, int] = {}
        self._read_records = 0
        self.holds = True
        """The recorder acknowledges what it holds."""
        self.acknowledging = True
        """The hub's acknowledgements reach the gateway."""
        self._put(self._records.formats(self.encoder.formats, has_video=True))

    def _clock(self) -> float:
        return self.world.monotonic

    def jump(self, seconds: float) -> None:
        self.encoder.first_dts += round(seconds * 90_000)

    def send(self, seconds: float) -> None:
        """Publish in real time."""
        self.take(self.encoder.units(seconds))

    def cut_off(self, seconds: float) -> None:
        """Let everything that the encoder sends be lost on its way to the gateway."""
        list(self.encoder.units(seconds, in_real_time=False))
        self.world.pass_time(seconds)

    def take(self, units: Iterable[AccessUnit], *, hub: bool = True) -> None:
        """Take units from the encoder. ``hub`` False: there is no hub, they are only kept."""
        for number, unit in enumerate(map(self._made, units)):
            self.sent.append(unit)
            self._put(self._records.unit(unit), hub=hub)
            if hub and number % _ACK_UNITS == _ACK_UNITS - 1:
                self.acknowledge()
        self._read()

    def acknowledge(self) -> None:
        """Let the recorder and then the hub acknowledge."""
        timeline = self.world.hub.output.timeline
        if self.holds and timeline is not None:
            held = timeline.last_dts - CHUNK_TICKS
            if held > FIRST_DTS:
                ack = TimelineAck(reader="r", timeline=timeline.id, dts=held)
                self.world.hub.readers.acknowledge(ack)
        if self.acknowledging:
            self._map.acknowledged(self.world.hub.ack(self.encoder.leg))

    def read_session(self) -> None:
        """Let another recorder read, that of the session which is on."""
        timeline = self.world.hub.output.timeline
        assert timeline is not None
        self.recorder = self.world.read(name="another", session_us=timeline.started_us)
        self.out, self._last, self._read_records = [], {}, 0
        self._read()

    def replace_hub(self, *, replayed: float = 1) -> None:
        """Put a new hub in the place of the present one, which is lost. Its readers come back
        first. ``replayed``: the part of the replay that reaches it."""
        self._read()
        last = max(unit.dts for unit in self.out)
        timeline = self.recorder.formats[0].timeline
        monotonic = self.world.monotonic + 1
        self.world = World(**self._config)
        self.world.monotonic = monotonic
        self.world.hub.tick(self.world.now)
        self.recorder = self.world.read(timeline=timeline, dts=last)
        self._read_records = 0
        self.world.hub.attach(self.recorder.reader, self.world.now)
        self._post_again(replayed)

    def silence_hub(self, *, replayed: float = 1) -> None:
        """Let the hub be silent for so long that the gateway posts again."""
        self._post_again(replayed)

    def _post_again(self, replayed: float = 1) -> None:
        before = self.encoder
        self.encoder = again = self._publish(self._map.last, before.leg.hello.connection)
        again.first_dts, again._position = before.first_dts, before._position
        again._picture, again._audio_frames = before._picture, before._audio_frames
        again.label = before.label or before.leg.hello.connection
        first = self.world.hub.ack(again.leg)
        since = self._map.replay_since(first)
        self._map.acknowledged(first)
        replay = self.kept.replay(since)
        self._feed(replay[: round(len(replay) * replayed)])
        self.acknowledge()
        self._read()

    def _publish(self, resume: LegAck | None, connection: str | None = None) -> Publisher:
        publisher = self.world.publish(connection=connection, resume=resume, formats=(VIDEO, AUDIO))
        self._hub_feed = UnitFeed(self.world.hub, publisher.leg)
        self._feed([PREAMBLE])
        return publisher

    def _put(self, part: LegRecord | None, *, hub: bool = True) -> None:
        if part is not None:
            self.kept.add(part)
            if hub:
                self._feed([part.data])

    def _feed(self, data: list[bytes]) -> None:
        for part in data:
            self._hub_feed.feed(part, self.world.now)

    def _read(self) -> None:
        """Take what the reader gets, as readers do: nothing of a track up to its last DTS."""
        self.recorder.catch_up()
        records = self.recorder.records
        for record in records[self._read_records :]:
            if isinstance(record, AccessUnit) and record.dts > self._last.get(record.track, 0):
                self.out.append(record)
                self._last[record.track] = record.dts
        self._read_records = len(records)

    def _made(self, unit: AccessUnit) -> AccessUnit:
        """Return the unit as this encoder sends it. A hub accepts only NAL units as a picture."""
        if unit.track == 0:
            nal = (b"\x65" if unit.is_random_access else b"\x41") + unit.payload
            return replace(unit, payload=len(nal).to_bytes(4, "big") + nal)
        return replace(unit, dts=unit.dts + self.sound_base, pts=unit.pts + self.sound_base)
