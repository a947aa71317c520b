"""Publishing for protocols whose media is access units: what SRT and WHIP have in common.

:func:`publisher_for` makes the function that opens a :class:`Publication`. Whoever uses it brings
the namespace, the stream and the key that the peer gave, then formats and units; it learns from
:attr:`Publication.ended` when the hub wants no more of it. A lost hub is not its business: the
publication holds what it gets, and goes on at the next hub.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from pydantic import SecretStr

from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.publishing.keeper import Ending, GaveUp, Hubs, LegKeeper, Over
from sluice_media.publishing.leg import Refused
from sluice_media.publishing.limits import AddressLimits
from sluice_media.publishing.parts import Part
from sluice_media.publishing.path import BadPath, PublishPath, publish_path
from sluice_media.publishing.unit_parts import UNITS, UnitParts

_FINISH_SECONDS = 10.0
_COUNT_SECONDS = 1.0
TOO_MANY_FAILURES = Refused(
    "TooManyFailures", "too many wrong keys from this address; try again in a minute"
)
_log = structlog.get_logger(__name__)


class PublishRefused(Exception):  # noqa: N818  says what it is
    """The publisher is not taken: ``reason`` is one word of the API, the text a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class HubUnavailable(Exception):  # noqa: N818  says what it is
    """No hub took the publisher in time; another try may succeed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(slots=True, frozen=True)
class PublishEnd:
    """Why a publication is over. ``reason`` is the hub's word (TakenOver, KeyRotated, Disabled,
    UnsupportedCodec, BadMedia, …), ``HubUnavailable`` when none came back in time, or ``Finished``
    after :meth:`Publication.finish`."""

    reason: str
    message: str


class Publication:
    """One publisher that a hub has accepted. Made by what :func:`publisher_for` returns."""

    def __init__(self, hubs: Hubs, path: PublishPath, protocol: str, remote: str) -> None:
        self._metrics = hubs.metrics
        self._log = _log.bind(
            namespace=path.namespace, stream=path.stream, protocol=protocol, address=remote
        )
        self._retention = hubs.retention()
        self._parts = UnitParts(time.monotonic)
        self._keeper = LegKeeper(
            hubs, path, self._retention, UNITS, protocol=protocol, remote=remote
        )
        self._keeping = asyncio.create_task(self._keeper.run(), name="publication")
        self._counting: asyncio.Task[None] | None = None
        self._received = self._counted = self._counted_kept = 0
        self._began_at = time.monotonic()
        self.ended: asyncio.Future[PublishEnd] = asyncio.get_running_loop().create_future()
        """Done when nothing is taken any more."""

    @property
    def leg(self) -> str:
        """primary or backup, as the hub says."""
        return self._keeper.leg

    def take_formats(
        self, formats: Sequence[TrackFormat], has_video: bool | None = None, left_out: str = ""
    ) -> None:
        """All tracks, at first and whenever one changes. ``has_video``: what the container's
        headers say; None: nothing, and 2 s without a picture decide. ``left_out``: codec of the
        sound that is not carried."""
        self._put(self._parts.formats(formats, has_video, left_out))

    def take_unit(self, unit: AccessUnit) -> None:
        """The next unit, in source times: 90 kHz, unwrapped."""
        self.take_units((unit,))

    def take_units(self, units: Sequence[AccessUnit]) -> None:
        """Send several units to the hub in one write."""
        parts = []
        for unit in units:
            self._received += len(unit.payload)
            part = self._parts.unit(unit)
            if part is not None:
                parts.append(part)
        self._put(*parts)

    def picture_comes(self) -> None:
        """Bytes of a picture have come that is not complete yet."""
        if not self.ended.done():
            self._keeper.put([self._parts.picture_comes()])

    def reject(self, reason: str, message: str) -> None:
        """The peer sends what no units can be made of: ``reason`` is BadMedia or UnsupportedCodec.
        The hub says so in the stream's status and ends the publication."""
        self._put(self._parts.rejection(reason, message))

    async def finish(self) -> None:
        """The publisher has ended; returns when the hub has what it sent, at most after 10 s."""
        if not self.ended.done():
            self._keeper.finish()
            await asyncio.wait((self._keeping,), timeout=_FINISH_SECONDS)
        await self.abort()

    async def abort(self) -> None:
        """Ends at once. To be called in any case, if not :meth:`finish`."""
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        self._end(PublishEnd("Finished", "the publisher has ended"))

    def _put(self, *parts: Part) -> None:
        if parts and not self.ended.done():
            for part in parts:
                self._retention.add(part)
            self._keeper.put([part.data for part in parts])

    # ------------------------------------------------------------------ life

    async def _accepted(self) -> None:
        """Returns once a hub has said yes. Raises PublishRefused or HubUnavailable."""
        accepted = asyncio.create_task(self._keeper.admitted.wait())
        try:
            await asyncio.wait((accepted, self._keeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            accepted.cancel()
            await asyncio.gather(accepted, return_exceptions=True)
        if self._keeping.done():
            match self._keeping.result():
                case Refused(reason=reason, message=message):
                    raise PublishRefused(reason, message)
                case GaveUp(why=why):
                    self._metrics.given_up.inc()
                    raise HubUnavailable(f"no hub in time: {why}")
                case Over():
                    raise HubUnavailable("the hub has closed the leg")
        self._metrics.accepted.inc()
        self._metrics.publishers.inc()
        self._log.info("publish_accepted", leg=self.leg)
        self._keeping.add_done_callback(self._kept)
        self._counting = asyncio.create_task(self._count_for_ever(), name="publication-metrics")

    def _kept(self, keeping: asyncio.Task[Ending]) -> None:
        if keeping.cancelled():
            self._end(PublishEnd("Finished", "the publisher has ended"))
        elif (bug := keeping.exception()) is not None:
            self._log.error("publisher_failed", error=type(bug).__name__)
            self._end(PublishEnd("Internal", "an error of ours"))
        else:
            self._end(_end_of(keeping.result()))

    def _end(self, end: PublishEnd) -> None:
        if self.ended.done():
            return
        self.ended.set_result(end)
        self._retention.close()
        if self._counting is None:
            return
        self._counting.cancel()
        self._count(kept=0)
        self._metrics.publishers.dec()
        if end.reason == "HubUnavailable":
            self._metrics.given_up.inc()
        self._log.info(
            "publish_ended",
            why=end.reason,
            seconds=round(time.monotonic() - self._began_at, 1),
            received_bytes=self._received,
        )

    async def _count_for_ever(self) -> None:
        while True:
            self._count(kept=self._retention.size)
            await asyncio.sleep(_COUNT_SECONDS)

    def _count(self, *, kept: int) -> None:
        """Metrics that grow with every unit are written once a second."""
        self._metrics.received_bytes.inc(self._received - self._counted)
        self._metrics.retained_bytes.inc(kept - self._counted_kept)
        self._counted, self._counted_kept = self._received, kept


Publish = Callable[[str, str, SecretStr, str], Awaitable[Publication]]
"""(namespace, stream, key, remote address) -> an accepted publication. Raises PublishRefused or
HubUnavailable; refusals are counted, and so are wrong keys of an address."""


def publisher_for(protocol: str, hubs: Hubs, limits: AddressLimits) -> Publish:
    """``protocol`` is the word of the API: SRT or WHIP."""

    async def publish(namespace: str, stream: str, key: SecretStr, remote: str) -> Publication:
        try:
            path = publish_path(namespace, stream, key.get_secret_value())
            if limits.is_blocked(remote):
                raise PublishRefused(TOO_MANY_FAILURES.reason, TOO_MANY_FAILURES.message)
            publication = Publication(hubs, path, protocol, remote)
            try:
                await publication._accepted()
            except BaseException:
                await publication.abort()
                raise
        except BadPath as bad:
            hubs.metrics.refused("BadPath")
            raise PublishRefused("BadPath", str(bad)) from bad
        except PublishRefused as refused:
            if refused.reason == "BadKey":
                limits.failed(remote)
            hubs.metrics.refused(refused.reason)
            suppressed = hubs.quiet.may_say(remote)
            if suppressed is not None:
                _log.info(
                    "publish_refused",
                    address=remote,
                    reason=refused.reason,
                    protocol=protocol,
                    suppressed=suppressed,
                )
            raise
        return publication

    return publish


def _end_of(ending: Ending) -> PublishEnd:
    match ending:
        case Refused(reason=reason, message=message):
            return PublishEnd(reason, message)
        case GaveUp(why=why):
            return PublishEnd("HubUnavailable", f"no hub in time: {why}")
        case Over():
            return PublishEnd("Finished", "the hub has everything")
