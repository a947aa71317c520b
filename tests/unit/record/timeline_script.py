"""Builders for tests of the recorder: a clock, units and the records around them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from sluice_media.contract import (
    TimelineEnd,
    TimelineFormat,
    TimelineGap,
    TimelineHeartbeat,
    TrackInfo,
)
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.record.effects import Effect, EndFile, Finish, Rules, Write
from sluice_media.record.machine import RecorderMachine
from sluice_media.record.plan import Restored
from sluice_media.timeline.framing import Record
from sluice_media.timeline.reader import HubBack, HubLost

START = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
VIDEO = TrackInfo(track=0, kind="video", codec="h264", config="AAAA", width=640, height=360)
OTHER_VIDEO = VIDEO.model_copy(update={"width": 1280, "height": 720})
AUDIO = TrackInfo(track=1, kind="audio", codec="aac", config="EZA=", sample_rate=48_000)
FRAME = 3_600
GOP_FRAMES = 50


def seconds(count: float) -> int:
    return int(count * 90_000)


class Scene:
    """A machine, its clock, and what it did. The source sends 25 pictures a second."""

    def __init__(self, rules: Rules | None = None, restored: Restored | None = None) -> None:
        self.now = START
        self.dts = 0
        self.timeline = "t1"
        self.session_started_at = START
        self.machine = RecorderMachine(
            rules or Rules(created_at=START), restored or Restored(), self.now
        )
        self.effects: list[Effect] = []

    @property
    def phase(self) -> str:
        return self.machine.phase.value

    @property
    def written(self) -> list[AccessUnit]:
        return [u for e in self.effects if isinstance(e, Write) for u in e.units]

    @property
    def ended(self) -> list[str | None]:
        return [e.file.end_reason for e in self.effects if isinstance(e, EndFile)]

    @property
    def finished(self) -> str | None:
        return next((e.reason for e in self.effects if isinstance(e, Finish)), None)

    def do(self, effects: Iterable[Effect]) -> Scene:
        self.effects += effects
        return self

    def hear(self, record: Record | HubLost | HubBack) -> Scene:
        return self.do(self.machine.records([record], self.now))

    def format(
        self, *tracks: TrackInfo, timeline: str | None = None, stream_uid: str = ""
    ) -> Scene:
        if timeline is not None and timeline != self.timeline:
            self.timeline = timeline
        return self.hear(
            TimelineFormat(
                timeline=self.timeline,
                epoch=1,
                stream_uid=stream_uid,
                session_started_at=self.session_started_at,
                tracks=list(tracks or (VIDEO,)),
            )
        )

    def unit(
        self, *, track: int = 0, dts: int | None = None, key: bool = False, late: float = 0.0
    ) -> Scene:
        at = self.dts if dts is None else dts
        utc = self.now - timedelta(seconds=late)
        flags = UnitFlags.RANDOM_ACCESS if key else UnitFlags.NONE
        utc_us = round(utc.timestamp() * 1e6)
        return self.hear(AccessUnit(track, at, at, flags, utc_us, b"x"))

    def play(self, length: float) -> Scene:
        """Pictures for so many seconds, at their own pace, one random access in 50."""
        for _ in range(round(length * 25)):
            self.unit(key=self.dts // FRAME % GOP_FRAMES == 0)
            self.dts += FRAME
            self.now += timedelta(seconds=0.04)
        return self.do(self.machine.tick(self.now))

    def beat(self, *, session: bool = True, delivering: bool = True) -> Scene:
        return self.hear(TimelineHeartbeat(session=session, delivering=delivering))

    def silence(self, length: float, *, delivering: bool = False) -> Scene:
        """Heartbeats without units."""
        for _ in range(round(length * 2)):
            self.wait(0.5)
            self.beat(delivering=delivering)
        return self

    def wait(self, length: float) -> Scene:
        """Nothing at all, but the machine's clock ticks."""
        for _ in range(max(1, round(length * 5))):
            self.now += timedelta(seconds=length / max(1, round(length * 5)))
            self.do(self.machine.tick(self.now))
        return self

    def gap(self, wall: float) -> Scene:
        return self.hear(TimelineGap(dts=self.dts, wall_seconds=wall))

    def end(self) -> Scene:
        return self.hear(TimelineEnd(reason="WindowPassed", finished_at=self.now))

    def lose_hub(self) -> Scene:
        return self.hear(HubLost(0.0, "closed"))

    def stop(self) -> Scene:
        return self.do(self.machine.stop(self.now))
