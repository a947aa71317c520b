"""The last event of a Service that waits for an address from its load balancer.

Events are listed only for a Service that waits. The result is remembered for a few seconds, because
every pushed stream needs the same two or three Services.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from sluice_operator.engine.cache import Manifest
from sluice_operator.engine.clock import Clock
from sluice_operator.engine.controller import Api
from sluice_operator.kube.errors import ApiError
from sluice_operator.kube.resources import EVENTS

_MAX_AGE_SECONDS = 10.0
_MAX_TEXT = 300
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class ServiceRef:
    """Namespace and name of a Service."""

    namespace: str
    name: str


class ServiceEvents:
    """Reader of the events of Services."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._known: dict[ServiceRef, tuple[float, str]] = {}

    async def last(self, ref: ServiceRef) -> str:
        """Return the text of :func:`last_event`; empty when the events cannot be read."""
        at, text = self._known.get(ref, (-_MAX_AGE_SECONDS, ""))
        if self._clock.monotonic() - at < _MAX_AGE_SECONDS:
            return text
        selector = f"involvedObject.kind=Service,involvedObject.name={ref.name}"
        try:
            page = await self._api.list(EVENTS, namespace=ref.namespace, field_selector=selector)
        except ApiError as error:
            # The event is only an explanation. The stream is set up without it.
            _log.warning("service_events_not_readable", service=ref.name, error=str(error))
            text = ""
        else:
            text = last_event(page.items)
        self._known[ref] = (self._clock.monotonic(), text)
        return text


def last_event(events: Sequence[Manifest]) -> str:
    """Return ``<reason>: <message>`` of the last warning, or of the last event without one.

    Warnings come first, because a controller that retries posts two events in turn. Each change of
    the text would be a write to every stream."""
    if not events:
        return ""
    last = max(events, key=lambda event: (event.get("type") == "Warning", _moment(event)))
    text = " ".join(f"{last.get('reason', '')}: {last.get('message', '')}".split())
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def _moment(event: Manifest) -> str:
    """Return the latest time of an event (RFC 3339). Its author may use any of these fields."""
    series = event.get("series") or {}
    candidates = (series.get("lastObservedTime"), event.get("lastTimestamp"))
    created = event["metadata"].get("creationTimestamp")
    return max(str(m) for m in (*candidates, event.get("eventTime"), created, "") if m is not None)
