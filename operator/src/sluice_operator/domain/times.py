"""Times in a status: RFC 3339 in UTC, with milliseconds for measured times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def utc_text(moment: datetime) -> str:
    """Return e.g. ``2026-05-04T10:00:00.120Z``."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def exact_text(moment: datetime) -> str:
    """Return the time with microseconds, for a time that identifies something."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text.removesuffix("+00:00") + "Z"


def parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def seconds_until(begin: datetime, seconds: float, now: datetime) -> float:
    """Return the time until ``seconds`` have passed since ``begin``; 0 or less when they have."""
    return (begin + timedelta(seconds=seconds) - now).total_seconds()


def soonest(*candidates: float | None) -> float | None:
    """Return the shortest wait, at least 0.1 s; None when there is nothing to wait for."""
    waits = [c for c in candidates if c is not None]
    return max(0.1, min(waits)) if waits else None
