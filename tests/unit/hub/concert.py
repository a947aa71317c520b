"""Several publishers at the same time, each with the faults of its own way to the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sluice_media.formats.units import AccessUnit
from sluice_media.hub.legs.leg import LegName
from sluice_media.hub.status import hub_status
from tests.support.hub_world import Publisher, VirtualReader, World

Span = tuple[float, float]
"""Seconds, from when to when."""


def _no_jitter(_: float) -> float:
    return 0.0


@dataclass
class Part:
    """The part of one publisher in :func:`play`. All times are seconds from the start."""

    publisher: Publisher
    delay: float = 0.0
    jitter: Callable[[float], float] = _no_jitter
    """Additional delay of units by the moment of sending; their order is kept."""
    drift_ppm: float = 0.0
    """Slowness of its clock, parts per million."""
    lost: tuple[Span, ...] = ()
    """Times at which units that are sent get lost."""
    late: tuple[Span, ...] = ()
    """Times at which units that are sent arrive at the end of the span, all at once."""
    silent_tracks: tuple[int, ...] = ()
    """Tracks without units."""
    twice: float = 0.0
    """Seconds from the start whose units arrive twice."""
    pings: bool = False
    """Bytes that are no media come all the time."""
    trickle: int = 0
    """So many bytes of what is late or lost come every 0.1 s all the same."""
    ends_at: float | None = None


def play(world: World, seconds: float, *parts: Part) -> None:
    """All parts at once, in the world's time."""
    started = world.monotonic
    events: list[tuple[float, int, Callable[[], None]]] = []
    for part in parts:
        events += [(at, len(events), act) for at, act in _events(part, seconds)]
    for at, _, act in sorted(events, key=lambda event: event[:2]):
        world.pass_time(max(0.0, started + at - world.monotonic))
        act()
    world.pass_time(max(0.0, started + seconds - world.monotonic))


def _events(part: Part, seconds: float) -> Iterator[tuple[float, Callable[[], None]]]:
    publisher = part.publisher
    begin = publisher._position
    end = begin + round(seconds * 90_000)
    earliest = 0.0
    for dts, track in publisher._schedule(end):
        sent = (dts - begin) / 90_000 * (1 + part.drift_ppm / 1e6)
        ended = part.ends_at is not None and sent >= part.ends_at
        if ended or track in part.silent_tracks or _within(part.lost, sent) is not None:
            publisher._unit(track, dts)  # made, and lost
            continue
        held = _within(part.late, sent)
        at = held[1] if held else sent + part.delay + part.jitter(sent)
        earliest = max(earliest, at)
        # The unit is made when it arrives, so that it carries the right time.
        unit = publisher._unit(track, dts)
        publisher.made_at[unit.payload] = publisher.world.monotonic + sent
        for _ in range(2 if sent < part.twice else 1):
            yield earliest, _arrival(publisher, unit)
    if part.ends_at is not None:
        yield max(part.ends_at, earliest), publisher.end
    if part.pings:
        for tenth in range(round(seconds * 10)):
            yield tenth / 10, lambda: publisher.leg.bytes_arrived(6, publisher.world.now)
    for begins, ends in part.late + part.lost if part.trickle else ():
        for tenth in range(1, round(min(ends, seconds) * 10 - begins * 10)):
            yield begins + tenth / 10, _bytes(publisher, part.trickle)
    publisher._position = end


def _bytes(publisher: Publisher, count: int) -> Callable[[], None]:
    return lambda: publisher.leg.bytes_arrived(count, publisher.world.now)


def _arrival(publisher: Publisher, unit: AccessUnit) -> Callable[[], None]:
    def arrive() -> None:
        if not publisher.leg.connected:
            return
        world = publisher.world
        fresh = AccessUnit(
            unit.track, unit.dts, unit.pts, unit.flags, world.now.utc_us, unit.payload
        )
        publisher.sent.append(fresh)
        publisher.leg.bytes_arrived(len(unit.payload), world.now)
        world.hub.take_unit(publisher.leg, fresh, world.now)

    return arrive


def _within(spans: tuple[Span, ...], at: float) -> Span | None:
    return next((span for span in spans if span[0] <= at < span[1]), None)


def duo(world: World, **backup: Any) -> tuple[Publisher, Publisher]:
    primary = world.publish(connection="p")
    return primary, world.publish(name=LegName.BACKUP, connection="b", **backup)


def runs(reader: VirtualReader, track: int = 0) -> list[tuple[str, int, int]]:
    """Return the runs of consecutive frames that were shown, as (source, first, last)."""
    found: list[tuple[str, int, int]] = []
    for payload in reader.payloads(track):
        source, _, number = payload.decode().split("/")
        if found and found[-1][0] == source and found[-1][2] + 1 == int(number):
            found[-1] = (source, found[-1][1], int(number))
        else:
            found.append((source, int(number), int(number)))
    return found


def status_of(world: World) -> dict[str, Any]:
    return hub_status(world.hub, world.now)
