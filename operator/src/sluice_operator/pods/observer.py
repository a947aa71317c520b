"""Observer of the media pods: polls ``/v1/status``, and reports changes and pods that are silent.

Every pod that is Running, not terminating, and belongs to an existing object (by uid) has one long
poll. The pod answers at once when its status changes, and sends a space every 2 s until then. After
6 s without a byte its status is stale. The answer must contain the pod's own uid, because a
Succeeded pod keeps its podIP after another pod got the address.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import structlog
from pydantic import SecretStr, ValidationError

from sluice_media.contract import (
    STATUS_PORT,
    IngestStatus,
    PlayStatus,
    PodStatus,
    PusherStatus,
    PushState,
    RecorderPhase,
    RecorderStatus,
)
from sluice_operator.engine.cache import Manifest, uid_of
from sluice_operator.engine.clock import Clock, Timer
from sluice_operator.engine.queue import Key
from sluice_operator.kube.errors import ApiError
from sluice_operator.pods.endpoints import STATUS_MODELS, PodEndpoint, endpoint_of
from sluice_operator.pods.http import PodHttp, PodRequest, TooLargeError, whole_body
from sluice_operator.pods.samples import Samples
from sluice_operator.telemetry.metrics import Metrics

_MAX_BODY_BYTES = 256 * 1024
_TOKENS_AT_ONCE = 16
"""Maximum number of tokens that are read at the same time. After a start every pod needs its token,
and passes need the API server too."""
_log = structlog.get_logger(__name__)


class PollError(Exception):
    """A poll failed; ``result`` is its label in the metric ``sluice_poll_answers_total``."""

    def __init__(self, result: str) -> None:
        super().__init__(result)
        self.result = result


@dataclass(slots=True, frozen=True)
class ObserverTimes:
    """Timeouts and pauses of the polls."""

    wait_seconds: float = 25.0
    """Maximum time that a pod may hold a poll."""
    ticking_wait_seconds: float = 9.0
    """Maximum time that a pod may hold a poll while its status has a growing duration. With the
    pause that follows, the object's status gets a new value every 10 s."""
    silence_seconds: float = 6.0
    """Time without a byte after which the status of a pod is stale."""
    connect_seconds: float = 3.0
    """Timeout of the connection."""
    first_retry_seconds: float = 0.1
    """Pause after the first failure. It grows with each failure."""
    last_retry_seconds: float = 5.0
    """Longest pause after a failure."""
    starting_seconds: float = 10.0
    """Time in which a new pod that has not answered yet is treated as starting."""
    starting_retry_seconds: float = 0.15
    """Longest pause after a failure of a starting pod."""
    pause_seconds: float = 0.05
    """Pause between polls. A status that changes all the time costs at most 20 polls a second."""
    unchanged_pause_seconds: float = 1.0
    """Pause after an unchanged status, so that a pod that does not hold polls is not flooded."""


@dataclass(slots=True)
class _Poll:
    """The poll of one pod."""

    endpoint: PodEndpoint
    nudge: asyncio.Event
    task: asyncio.Task[None] | None = None
    silence: Timer | None = None
    fresh: bool = False


class StatusObserver:
    """The polls of all media pods.

    ``token_of(owner, fresh)`` reads the bearer token; it raises ApiError.
    ``on_answer(owner, former, status)`` is called when the version of a status changed, and for
    every answer while a duration grows, a stream is on air or a play pod serves.
    ``on_liveness(owner)`` is called when a pod stops or starts answering."""

    def __init__(
        self,
        http: PodHttp,
        samples: Samples,
        clock: Clock,
        metrics: Metrics,
        *,
        token_of: Callable[[Key, bool], Awaitable[SecretStr | None]],
        is_current: Callable[[PodEndpoint], bool],
        on_answer: Callable[[Key, PodStatus | None, PodStatus], None],
        on_liveness: Callable[[Key], None],
        times: ObserverTimes | None = None,
    ) -> None:
        self._http = http
        self._samples = samples
        self._clock = clock
        self._metrics = metrics
        self._token_of = token_of
        self._is_current = is_current
        self._on_answer = on_answer
        self._on_liveness = on_liveness
        self._times = times or ObserverTimes()
        self._polls: dict[str, _Poll] = {}
        self._by_owner: dict[str, dict[str, None]] = {}
        """uid of the object -> uids of its polled pods."""
        self._fresh_count = 0
        self._first_round: set[str] = set()
        """uids of the pods that existed at the start of the polling and were not polled yet."""
        self._token_reads = asyncio.Semaphore(_TOKENS_AT_ONCE)
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Poll until cancelled. All polls are tasks of this call."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._first_round = set(self._polls)
            for poll in self._polls.values():
                self._start(poll)
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def awaits_first_poll(self, owner_uid: str) -> bool:
        """Return whether a pod of the object was not polled yet since the start of the polling.

        With thousands of pods the first polls take some time."""
        return not self._first_round.isdisjoint(self._by_owner.get(owner_uid, ()))

    @property
    def first_round_is_over(self) -> bool:
        """True when every pod that existed at the start of the polling was polled once."""
        return not self._first_round

    def see(self, pod: Manifest) -> None:
        """Start, continue or end the poll of a pod, by its present state."""
        endpoint = endpoint_of(pod)
        if endpoint is None or not self._is_current(endpoint):
            self.lose(uid_of(pod))
            return
        known = self._polls.get(endpoint.pod_uid)
        if known is not None and known.endpoint == endpoint:
            if endpoint.ready and not known.endpoint.ready:
                known.nudge.set()
            known.endpoint = endpoint
            return
        self.lose(endpoint.pod_uid)
        poll = self._polls[endpoint.pod_uid] = _Poll(endpoint, asyncio.Event())
        self._by_owner.setdefault(endpoint.owner_uid, {})[endpoint.pod_uid] = None
        self._count()
        self._start(poll)

    def lose(self, pod_uid: str) -> None:
        """End the poll of a pod that is gone, or must not be polled any more."""
        poll = self._polls.pop(pod_uid, None)
        if poll is None:
            return
        self._first_round.discard(pod_uid)
        self._samples.lose(poll.endpoint.owner_uid, pod_uid)
        pods = self._by_owner[poll.endpoint.owner_uid]
        del pods[pod_uid]
        if not pods:
            del self._by_owner[poll.endpoint.owner_uid]
        if poll.silence is not None:
            poll.silence.cancel()
        if poll.task is not None:
            poll.task.cancel()
        if poll.fresh:
            # Its last status ages from now on. The owner needs a pass when it becomes stale.
            owner = poll.endpoint.owner
            self._clock.call_later(self._times.silence_seconds, lambda: self._on_liveness(owner))
        self._mark(poll, fresh=False)

    def forget(self, owner_uid: str) -> None:
        """End the polls of an object that is gone, and forget the answers of its pods."""
        for pod_uid in tuple(self._by_owner.get(owner_uid, ())):
            self.lose(pod_uid)
        self._samples.forget(owner_uid)

    def _start(self, poll: _Poll) -> None:
        if self._tasks is not None and poll.task is None:
            name = f"poll-{poll.endpoint.address.name}"
            poll.task = self._tasks.create_task(self._run(poll), name=name)

    async def _run(self, poll: _Poll) -> None:
        version, failures, refused = -1, 0, False
        wait = self._times.wait_seconds
        starting_until = self._clock.monotonic() + self._times.starting_seconds
        while True:
            try:
                status = await self._ask(poll, version, wait, refused)
            except PollError as error:
                self._metrics.poll_answers.labels(error.result).inc()
                # A pod with too large a status stays stale, and only this warning shows the cause.
                log = _log.warning if error.result == "too_large" and not failures else _log.debug
                log("poll_failed", pod=poll.endpoint.address.name, result=error.result)
                self._first_round.discard(poll.endpoint.pod_uid)
                failures, refused = failures + 1, error.result == "http_401"
                starting = version < 0 and self._clock.monotonic() < starting_until
                await self._pause(poll, failures, starting=starting)
                continue
            failures, refused = 0, False
            self._metrics.poll_answers.labels("answer").inc()
            is_news = status.version != version
            version, ticks = status.version, _ticks(status)
            # While a duration grows, polls are as frequent as writes of the object's status.
            wait = self._times.ticking_wait_seconds if ticks else self._times.wait_seconds
            self._take(poll, status, report=is_news or ticks or _ages(status))
            pause = self._times.pause_seconds if is_news else self._times.unchanged_pause_seconds
            await self._clock.sleep(pause)

    def _take(self, poll: _Poll, status: PodStatus, *, report: bool) -> None:
        endpoint = poll.endpoint
        self._first_round.discard(endpoint.pod_uid)
        self._alive(poll)
        former = self._samples.answered(
            endpoint.owner_uid, endpoint.pod_uid, endpoint.created, status
        )
        if report:
            self._on_answer(endpoint.owner, former, status)

    async def _ask(self, poll: _Poll, version: int, wait: float, refused: bool) -> PodStatus:
        """Poll once. Raises PollError.

        ``refused``: the pod refused the token of the last poll, so it is read again."""
        endpoint = poll.endpoint
        path = f"/v1/status?version={version}&wait={wait:g}"
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=self._times.connect_seconds,
            sock_read=self._times.silence_seconds,
        )
        try:
            async with self._token_reads:
                token = await self._token_of(endpoint.owner, refused)
            request = PodRequest("GET", endpoint.address, STATUS_PORT, path, token, timeout)
            async with self._http.open(request) as response:
                if response.status != 200:
                    raise PollError(f"http_{response.status}")
                body = await self._read(poll, response, version)
        except TooLargeError as error:
            raise PollError("too_large") from error
        except ApiError as error:
            raise PollError("unreachable") from error
        except TimeoutError as error:
            raise PollError("silent") from error
        except (aiohttp.ClientError, OSError) as error:
            raise PollError("broken") from error
        try:
            status = STATUS_MODELS[endpoint.role].model_validate_json(body)
        except ValidationError as error:
            raise PollError("not_a_status") from error
        if status.pod_uid != endpoint.pod_uid:
            raise PollError("other_pod")
        return status

    async def _read(self, poll: _Poll, response: aiohttp.ClientResponse, version: int) -> bytes:
        def on_piece(begun: bool) -> None:
            # A space counts only after an answer that proved the uid of the pod.
            if version >= 0 and not begun:
                self._alive(poll)
                self._samples.heartbeat(poll.endpoint.owner_uid, poll.endpoint.pod_uid)

        return await whole_body(response, _MAX_BODY_BYTES, on_piece)

    def _alive(self, poll: _Poll) -> None:
        if poll.silence is not None:
            poll.silence.cancel()
        poll.silence = self._clock.call_later(
            self._times.silence_seconds, lambda: self._silent(poll)
        )
        if not poll.fresh:
            self._mark(poll, fresh=True)
            self._on_liveness(poll.endpoint.owner)

    def _silent(self, poll: _Poll) -> None:
        poll.silence = None
        _log.info("pod_silent", pod=poll.endpoint.address.name)
        self._mark(poll, fresh=False)
        self._on_liveness(poll.endpoint.owner)

    async def _pause(self, poll: _Poll, failures: int, *, starting: bool) -> None:
        """Wait before the next try. End the wait when the pod becomes ready."""
        times = self._times
        longest = times.starting_retry_seconds if starting else times.last_retry_seconds
        base = min(times.first_retry_seconds * 1.6 ** min(failures - 1, 20), longest)
        poll.nudge.clear()
        try:
            async with asyncio.timeout(base * random.uniform(0.8, 1.0)):  # noqa: S311  jitter
                await poll.nudge.wait()
        except TimeoutError:
            return

    def _mark(self, poll: _Poll, *, fresh: bool) -> None:
        self._fresh_count += fresh - poll.fresh
        poll.fresh = fresh
        self._count()

    def _count(self) -> None:
        self._metrics.polled_pods.labels("fresh").set(self._fresh_count)
        self._metrics.polled_pods.labels("stale").set(len(self._polls) - self._fresh_count)


def _ticks(status: PodStatus) -> bool:
    """Return whether a duration or counter in the status grows now."""
    match status:
        case RecorderStatus():
            return status.phase is RecorderPhase.RECORDING
        case PusherStatus():
            return status.state is PushState.LIVE
        case _:
            return False


def _ages(status: PodStatus) -> bool:
    """Return whether the object's status shows the age of the answer, or a value of an unchanged
    status."""
    match status:
        case IngestStatus():
            return status.on_air
        case PlayStatus():
            return status.is_serving
        case _:
            return False
