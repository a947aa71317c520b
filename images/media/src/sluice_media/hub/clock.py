"""The time that callers pass to the hub's pure modules, which never read a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(NamedTuple):
    """One instant on two clocks."""

    monotonic: float
    """Seconds; for durations."""
    utc_us: int
    """Microseconds since the Unix epoch; for users and for wall-clock requests."""


Clock = Callable[[], Moment]


def system_clock() -> Moment:
    return Moment(time.monotonic(), time.time_ns() // 1_000)


def datetime_of(utc_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=utc_us)


def us_of(moment: datetime) -> int:
    """Return microseconds since the Unix epoch: exact, unlike a float timestamp.

    ``moment`` must have a time zone."""
    return (moment - _EPOCH) // _MICROSECOND
