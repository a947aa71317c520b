"""The sessions of this process: an offer in, an answer and a running session out."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass

import structlog
from pydantic import SecretStr

from sluice_media.pod.log_limiter import LogLimiter
from sluice_media.publishing.limits import AddressLimits, TooManyConnections
from sluice_media.publishing.publication import HubUnavailable, Publication, Publish, PublishRefused
from sluice_media.whip.address import NoAddress, PublicAddress
from sluice_media.whip.media_port import MediaPort
from sluice_media.whip.metrics import WhipMetrics
from sluice_media.whip.offer import BadOffer, CodecsMissing, Offer, parse_offer
from sluice_media.whip.problem import Problem, Reason, problem_of
from sluice_media.whip.session import Session
from sluice_media.whip.settings import WhipSettings

_PRIMARY = "primary"
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class PostedOffer:
    """An offer as a publisher posted it."""

    namespace: str
    stream: str
    key: SecretStr
    remote: str
    """Address of the publisher."""
    sdp: str


@dataclass(slots=True, frozen=True)
class Begun:
    """A session that has begun."""

    id: str
    answer: str
    """SDP answer."""


@dataclass(slots=True, frozen=True)
class _Running:
    namespace: str
    stream: str
    session: Session
    task: asyncio.Task[None]


class WhipService:
    """All sessions, and the limits on their number."""

    def __init__(
        self,
        settings: WhipSettings,
        publish: Publish,
        metrics: WhipMetrics,
        port: MediaPort,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._settings = settings
        self._publish = publish
        self._metrics = metrics
        self._port = port
        self._tasks = tasks
        self._limits = AddressLimits(settings, time.monotonic)
        self._log_limiter = LogLimiter(time.monotonic)
        self._address = PublicAddress(
            settings.public_host,
            settings.public_media_port or port.local_address[1],
        )
        self._running: dict[str, _Running] = {}
        self.http_port = 0
        self.draining = False

    @property
    def sessions(self) -> int:
        """Number of sessions."""
        return len(self._running)

    @property
    def media_port(self) -> int:
        """UDP port for media."""
        return self._port.local_address[1]

    @property
    def transcoder_pids(self) -> list[int]:
        """Process ids of the transcoders."""
        pids = (running.session.transcoder_pid for running in self._running.values())
        return [pid for pid in pids if pid is not None]

    async def begin(self, offer: PostedOffer) -> Begun:
        """Begin a session for an offer. Raise Problem."""
        posted_at = asyncio.get_running_loop().time()
        try:
            return await self._begin(offer, posted_at)
        except Problem as problem:
            self._metrics.refused(problem.reason)
            suppressed = self._log_limiter.admit(offer.remote)
            # The publication logs the hub's refusals itself.
            logged = isinstance(problem.__cause__, PublishRefused)
            if suppressed is not None and not logged:
                _log.info(
                    "whip_refused",
                    address=offer.remote,
                    reason=problem.reason,
                    suppressed=suppressed,
                )
            raise

    async def end(self, namespace: str, stream: str, session_id: str) -> bool:
        """End a session and wait up to 2 s for its end. Return False when it does not exist."""
        running = self._running.get(session_id)
        if running is None or (running.namespace, running.stream) != (namespace, stream):
            return False
        running.session.stop("the sender requested the end")
        await asyncio.wait((running.task,), timeout=2)
        return True

    async def drain(self, grace_seconds: float) -> None:
        """Refuse new offers, wait for the sessions, and end those left after the grace period."""
        self.draining = True
        if tasks := [running.task for running in self._running.values()]:
            _log.info("draining", sessions=len(tasks))
            await asyncio.wait(tasks, timeout=grace_seconds)
        await self.close()

    async def close(self) -> None:
        """End all sessions."""
        self.draining = True
        running = list(self._running.values())
        for one in running:
            one.session.stop("the server is shutting down")
        if running:
            await asyncio.wait([one.task for one in running])

    # ------------------------------------------------------------------ beginning

    async def _begin(self, posted: PostedOffer, posted_at: float) -> Begun:
        if self.draining:
            raise Problem(
                503, Reason.HUB_UNAVAILABLE, "the server is shutting down; please try again"
            )
        offer = _parsed(posted.sdp)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(self._limits.connection(posted.remote))
            except TooManyConnections as refused:
                raise Problem(
                    429, Reason.TOO_MANY_CONNECTIONS, "too many sessions are open"
                ) from refused
            candidates = await self._candidates()
            publication = await self._published(posted)
            session = Session(self._settings, self._metrics, publication, posted_at)
            answer = await self._answered(session, offer, candidates)
            session_id = secrets.token_urlsafe(16)
            task = self._tasks.create_task(
                self._run(session_id, session, posted.remote, held.pop_all()), name="whip-session"
            )
            self._running[session_id] = _Running(posted.namespace, posted.stream, session, task)
        self._limits.published(posted.remote)
        self._metrics.accepted.inc()
        _log.info(
            "whip_accepted",
            namespace=posted.namespace,
            stream=posted.stream,
            address=posted.remote,
        )
        return Begun(session_id, answer)

    async def _candidates(self) -> list[tuple[str, int]]:
        try:
            return await self._address.candidates()
        except NoAddress as error:
            _log.error("no_public_address", why=str(error))
            raise Problem(503, Reason.HUB_UNAVAILABLE, str(error)) from error

    async def _published(self, posted: PostedOffer) -> Publication:
        try:
            publication = await self._publish(
                posted.namespace, posted.stream, posted.key, posted.remote
            )
        except PublishRefused as refused:
            raise problem_of(refused) from refused
        except HubUnavailable as away:
            raise Problem(503, Reason.HUB_UNAVAILABLE, away.message) from away
        if publication.leg != _PRIMARY:
            await publication.finish()
            raise Problem(
                403,
                Reason.NO_BACKUP,
                "WHIP has no backup: use the stream's primary key instead of its backup key",
            )
        return publication

    async def _answered(
        self, session: Session, offer: Offer, candidates: list[tuple[str, int]]
    ) -> str:
        try:
            return await session.answer(offer, self._port, candidates)
        except CodecsMissing as missing:
            await session.close()
            raise Problem(406, Reason.UNSUPPORTED_CODEC, str(missing)) from missing
        except BaseException as error:
            await session.close()
            if not isinstance(error, Exception):
                raise
            # aiortc checks an offer while it answers. Its error texts quote the offer.
            _log.warning("offer_not_answered", error=type(error).__name__)
            raise Problem(400, Reason.BAD_OFFER, "the SDP offer cannot be answered") from None

    async def _run(
        self, session_id: str, session: Session, remote: str, held: contextlib.ExitStack
    ) -> None:
        running = self._running[session_id]
        began_at = time.monotonic()
        why = "an internal error"
        try:
            with held, self._metrics.sessions.track_inprogress():
                why = await session.run()
        except Exception as bug:
            # A bug in one session must not end the others. Its text may hold a secret.
            _log.error("whip_session_failed", error=type(bug).__name__)
        finally:
            del self._running[session_id]
            self._limits.published(remote)
            _log.info(
                "whip_ended",
                namespace=running.namespace,
                stream=running.stream,
                why=why,
                seconds=round(time.monotonic() - began_at, 1),
            )


def _parsed(sdp: str) -> Offer:
    try:
        return parse_offer(sdp)
    except CodecsMissing as missing:
        raise Problem(406, Reason.UNSUPPORTED_CODEC, str(missing)) from missing
    except BadOffer as bad:
        raise Problem(400, Reason.BAD_OFFER, str(bad)) from bad
