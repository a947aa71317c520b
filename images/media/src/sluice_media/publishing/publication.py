"""Publishing to a hub: the one way for every protocol.

:func:`publisher_for` makes the function that opens a :class:`Publication`. Its caller passes the
namespace, the stream and the key of the peer, then formats and units. :attr:`Publication.ended` is
done when the hub takes no more. The publication survives the loss of a hub: it keeps its media and
goes on at the next hub.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from pydantic import SecretStr

from sluice_media.contract import LegReason
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.publishing.keeper import Ending, GaveUp, Hubs, LegKeeper, Over
from sluice_media.publishing.leg import Refused
from sluice_media.publishing.leg_records import LegEncoder, LegRecord
from sluice_media.publishing.limits import AddressLimits
from sluice_media.publishing.path import BadPath, PublishPath, publish_path
from sluice_media.publishing.reasons import PublishReason

_FINISH_SECONDS = 10.0
_COUNT_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class PublishRefused(Exception):  # noqa: N818  the name is the field's word
    """The publisher is refused. ``reason`` is one word of the API, ``message`` a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class HubUnavailable(Exception):  # noqa: N818  the name is the field's word
    """No hub took the publisher in time; another try may succeed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(slots=True, frozen=True)
class PublishEnd:
    """The end of a publication.

    ``reason`` is the hub's :class:`LegReason`, or a :class:`PublishReason`: ``HubUnavailable`` when
    no hub came in time, ``Finished`` when the publisher or the hub has closed the leg.
    """

    reason: str
    message: str


class Publication:
    """One publisher that a hub has accepted. The function of :func:`publisher_for` makes it."""

    def __init__(self, hubs: Hubs, path: PublishPath, protocol: str, remote: str) -> None:
        self._metrics = hubs.metrics
        self._log = _log.bind(
            namespace=path.namespace, stream=path.stream, protocol=protocol, address=remote
        )
        self._retention = hubs.retention()
        self._encoder = LegEncoder(time.monotonic)
        self._keeper = LegKeeper(hubs, path, self._retention, protocol=protocol, remote=remote)
        self._keeping = asyncio.create_task(self._keeper.run(), name="publication")
        self._counting: asyncio.Task[None] | None = None
        self._received = self._counted = self._counted_kept = 0
        self._began_at = time.monotonic()
        self.ended: asyncio.Future[PublishEnd] = asyncio.get_running_loop().create_future()
        """Done when the publication takes no more media."""

    @property
    def leg(self) -> str:
        """The leg's name, ``primary`` or ``backup``, as the hub reports it."""
        return self._keeper.leg

    def take_formats(
        self, formats: Sequence[TrackFormat], has_video: bool | None = None, left_out: str = ""
    ) -> None:
        """Take all tracks, at first and whenever one changes.

        ``has_video``: the declaration of the container's headers. None: they declare nothing, and
        2 s without a picture decide. ``left_out``: codec of the sound that is not carried.
        """
        self._put(self._encoder.formats(formats, has_video, left_out))

    def take_unit(self, unit: AccessUnit) -> None:
        """Take the next unit, in source times: 90 kHz, unwrapped."""
        self.take_units((unit,))

    def take_units(self, units: Sequence[AccessUnit]) -> None:
        """Take several units and send them to the hub in one write."""
        records = []
        for unit in units:
            self._received += len(unit.payload)
            record = self._encoder.unit(unit)
            if record is not None:
                records.append(record)
        self._put(*records)

    def picture_comes(self) -> None:
        """Notify the hub that bytes of an incomplete picture have arrived."""
        if not self.ended.done():
            self._keeper.put([self._encoder.picture_comes()])

    def reject(self, reason: str, message: str) -> None:
        """Report to the hub that the peer's media has no units: BadMedia or UnsupportedCodec.

        The hub shows the message in the stream's status and ends the publication.
        """
        self._put(self._encoder.rejection(reason, message))

    async def finish(self, why: str = "the publisher has ended") -> None:
        """End the publication; return when the hub has all media, after 10 s at most.

        ``why`` goes to the log.
        """
        if not self.ended.done():
            self._keeper.finish()
            await asyncio.wait((self._keeping,), timeout=_FINISH_SECONDS)
        await self.abort(why)

    async def abort(self, why: str = "the publisher has ended") -> None:
        """End the publication at once. Its owner calls this or :meth:`finish` in any case."""
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        self._end(PublishEnd(PublishReason.FINISHED, why))

    def _put(self, *records: LegRecord) -> None:
        if records and not self.ended.done():
            for record in records:
                self._retention.add(record)
            self._keeper.put([record.data for record in records])

    # ------------------------------------------------------------------ life

    async def _accepted(self) -> None:
        """Return once a hub has accepted. Raises PublishRefused or HubUnavailable."""
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
                    raise HubUnavailable(f"no hub accepted the publisher in time: {why}")
                case Over():
                    raise HubUnavailable("the hub has closed the leg")
        self._metrics.accepted.inc()
        self._metrics.publishers.inc()
        self._log.info("publish_accepted", leg=self.leg)
        self._keeping.add_done_callback(self._on_kept)
        self._counting = asyncio.create_task(self._count_for_ever(), name="publication-metrics")

    def _on_kept(self, keeping: asyncio.Task[Ending]) -> None:
        if keeping.cancelled():
            return  # abort() has set the end and its reason
        if (bug := keeping.exception()) is not None:
            self._log.error("publisher_failed", error=type(bug).__name__)
            self._end(PublishEnd(PublishReason.INTERNAL, "internal error; see the gateway's log"))
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
        if end.reason == PublishReason.HUB_UNAVAILABLE:
            self._metrics.given_up.inc()
        self._log.info(
            "publish_ended",
            reason=end.reason,
            why=end.message,
            seconds=round(time.monotonic() - self._began_at, 1),
            received_bytes=self._received,
        )

    async def _count_for_ever(self) -> None:
        while True:
            self._count(kept=self._retention.size)
            await asyncio.sleep(_COUNT_SECONDS)

    def _count(self, *, kept: int) -> None:
        """Update the metrics that grow with every unit. Once a second is enough."""
        self._metrics.received_bytes.inc(self._received - self._counted)
        self._metrics.retained_bytes.inc(kept - self._counted_kept)
        self._counted, self._counted_kept = self._received, kept


Publish = Callable[[str, str, SecretStr, str], Awaitable[Publication]]
"""(namespace, stream, key, remote address) -> an accepted publication. Raises PublishRefused or
HubUnavailable. Refusals are counted, and so are wrong keys of an address."""


def publisher_for(protocol: str, hubs: Hubs, limits: AddressLimits) -> Publish:
    """Return the function that publishes. ``protocol`` is RTMP, RTMPS, SRT or WHIP."""

    async def publish(namespace: str, stream: str, key: SecretStr, remote: str) -> Publication:
        path: PublishPath | None = None
        try:
            try:
                path = publish_path(namespace, stream, key.get_secret_value())
            except BadPath as bad:
                raise PublishRefused(PublishReason.BAD_PATH, str(bad)) from bad
            return await _open(path, remote)
        except PublishRefused as refused:
            if refused.reason == LegReason.BAD_KEY:
                limits.failed(remote)
            note_refusal(hubs, refused.reason, protocol=protocol, remote=remote, path=path)
            raise
        except HubUnavailable as unavailable:
            _log.warning(
                "publish_not_served",
                namespace=path.namespace if path else "",
                stream=path.shown_stream if path else "",
                protocol=protocol,
                why=unavailable.message,
            )
            raise

    async def _open(path: PublishPath, remote: str) -> Publication:
        if limits.is_blocked(remote):
            raise PublishRefused(
                PublishReason.TOO_MANY_FAILURES,
                "too many wrong keys from this address; try again in a minute",
            )
        publication = Publication(hubs, path, protocol, remote)
        try:
            await publication._accepted()
        except BaseException:
            await publication.abort()
            raise
        limits.published(remote)
        publication.ended.add_done_callback(lambda _: limits.published(remote))
        return publication

    return publish


def note_refusal(
    hubs: Hubs, reason: str, *, protocol: str, remote: str, path: PublishPath | None = None
) -> None:
    """Count a refused publisher, and log it unless its address was logged a moment ago."""
    hubs.metrics.refused(reason)
    suppressed = hubs.log_limiter.admit(remote)
    if suppressed is not None:
        names = {"namespace": path.namespace, "stream": path.shown_stream} if path else {}
        _log.info(
            "publish_refused",
            address=remote,
            reason=reason,
            protocol=protocol,
            suppressed=suppressed,
            **names,
        )


def _end_of(ending: Ending) -> PublishEnd:
    match ending:
        case Refused(reason=reason, message=message):
            return PublishEnd(reason, message)
        case GaveUp(why=why):
            return PublishEnd(
                PublishReason.HUB_UNAVAILABLE, f"no hub accepted the publisher in time: {why}"
            )
        case Over():
            return PublishEnd(
                PublishReason.FINISHED, "the hub has all media and has closed the leg"
            )
