"""The I/O of the pull: settings in, children and a status out.

Each change becomes an event of :class:`PullMachine`. This module executes the commands that the
machine returns.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass

import structlog
from pydantic import SecretStr

from sluice_media.contract import AddressGuard, PullStatus
from sluice_media.net.address_guard import AddressRules, DialGuard, Resolver, system_resolver
from sluice_media.net.trust import InvalidAuthorityError, client_context
from sluice_media.pull.events import (
    Arrived,
    Command,
    Configured,
    DeliveryChanged,
    Ended,
    Event,
    Plan,
    Promote,
    Start,
    Stop,
)
from sluice_media.pull.failures import Outcome, PullFailure
from sluice_media.pull.machine import PullMachine
from sluice_media.pull.metrics import PullMetrics
from sluice_media.pull.settings import PullSettings
from sluice_media.pull.sink import PullLeg, PullSink
from sluice_media.pull.source import SourceTry
from sluice_media.pull.uri import InvalidUriError, PullUri, parse_pull_uri

_POLL_SECONDS = 0.25
"""Interval at which each leg's ``delivers`` is read."""
_STOPPED = PullFailure(Outcome.STOPPED, "The pull was stopped.")
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class _SourceSettings:
    """A source's settings at the start of its try. Later settings may have another order."""

    uri: SecretStr | None = None
    has_authority: bool = False
    authority: SecretStr | None = None


@dataclass(slots=True)
class _Running:
    """A running child and its try."""

    index: int
    task: asyncio.Task[None]
    source: SourceTry | None = None
    delivers: bool = False


async def run_pull(
    settings: AsyncIterable[PullSettings | None],
    sink: PullSink,
    on_status: Callable[[PullStatus], None],
    metrics: PullMetrics,
    *,
    resolver: Resolver = system_resolver,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Pull until cancelled. No child outlives this call.

    ``settings`` yields the settings at once and after each change; None stops the pull.
    ``on_status`` is called after each change of the status. ``resolver`` and ``tls`` default to the
    system's; tests pass their own.
    """
    async with asyncio.TaskGroup() as tasks:
        puller = _Puller(tasks, sink, on_status, metrics, resolver=resolver, tls=tls)
        tasks.create_task(puller.keep_time())
        async for changed in settings:
            puller.configure(changed)


class _Puller:
    """The machine, its children and their legs."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        sink: PullSink,
        on_status: Callable[[PullStatus], None],
        metrics: PullMetrics,
        *,
        resolver: Resolver,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._tasks = tasks
        self._sink = sink
        self._on_status = on_status
        self._metrics = metrics
        self._resolver = resolver
        self._tls = tls or ssl.create_default_context()
        self._machine = PullMachine()
        self._settings: PullSettings | None = None
        self._guard: DialGuard | None = None
        self._running: dict[int, _Running] = {}
        self._encodes: set[str] = set()
        """URIs with audio other than AAC."""
        self._turns: dict[str, int] = {}
        """By URI: number of the host's address that the next try calls. FFmpeg takes only one
        address for SRT."""
        self._touched = asyncio.Event()
        self._status: PullStatus | None = None
        self._on_air: int | None = None

    # ------------------------------------------------------------------ events

    def configure(self, settings: PullSettings | None) -> None:
        """Apply new settings."""
        self._settings = settings
        if settings is None:
            self._handle(Configured(None))
            return
        self._guard = _guard(settings.guard, self._resolver)
        known = {uri.get_secret_value() for uri in settings.uris if uri is not None}
        self._encodes &= known
        self._turns = {text: turn for text, turn in self._turns.items() if text in known}
        self._handle(
            Configured(
                Plan(
                    # The guard is part of a source's identity: when it changes, the try is stopped.
                    sources=tuple(
                        (uri.get_secret_value() if uri else None, settings.guard.to_json())
                        for uri in settings.uris
                    ),
                    generation=settings.generation,
                    restart=settings.restart,
                    given_up=settings.given_up,
                    stall_seconds=settings.stall_seconds,
                    retry_seconds=settings.retry_seconds,
                    inactivity_seconds=settings.inactivity_seconds,
                    warm=settings.warm,
                    takeover_seconds=settings.takeover_seconds,
                )
            )
        )

    async def keep_time(self) -> None:
        """Tick the machine at its deadlines and read each leg's ``delivers``, until cancelled."""
        while True:
            self._touched.clear()
            due = self._machine.deadline()
            wait = _POLL_SECONDS if self._running else None
            if due is not None:
                wait = min(_POLL_SECONDS, max(0.0, due - time.monotonic()))
            try:
                async with asyncio.timeout(wait):
                    await self._touched.wait()
            except TimeoutError:
                for child in tuple(self._running):
                    self._read_delivery(child)
                self._execute(self._machine.tick(time.monotonic()))

    def _handle(self, event: Event) -> None:
        self._execute(self._machine.handle(event, time.monotonic()))

    def _arrived(self, child: int, count: int) -> None:
        self._metrics.received_bytes.inc(count)
        self._handle(Arrived(child))
        self._read_delivery(child)

    def _read_delivery(self, child: int) -> None:
        running = self._running.get(child)
        if running is None or running.source is None or running.source.leg is None:
            return
        delivers = running.source.leg.delivers
        if delivers is not running.delivers:
            running.delivers = delivers
            self._handle(DeliveryChanged(child, delivers))

    # ------------------------------------------------------------------ commands

    def _execute(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case Start(child, index, standby):
                    task = self._tasks.create_task(
                        self._try(child, index, standby, self._settings_of(index))
                    )
                    self._running[child] = _Running(index, task)
                case Stop(child, failure):
                    self._stop(child, failure)
                case Promote(child):
                    running = self._running[child]
                    if running.source is not None and running.source.leg is not None:
                        running.source.leg.take_over()
        self._touched.set()
        self._publish()

    def _stop(self, child: int, failure: PullFailure) -> None:
        running = self._running.pop(child)
        if running.source is not None:
            # The leg ends now. The child may need four more seconds to end.
            running.source.close(failure)
        self._count(running.index, failure)
        running.task.cancel()

    def _count(self, index: int, failure: PullFailure) -> None:
        self._metrics.tries.labels(failure.outcome.value).inc()
        if failure.outcome is not Outcome.STOPPED:
            _log.info("pull_failed", uri=index, outcome=failure.outcome.value, why=failure.message)

    def _settings_of(self, index: int) -> _SourceSettings:
        settings = self._settings
        if settings is None:
            return _SourceSettings()
        authorities = settings.authorities
        return _SourceSettings(settings.uris[index], index in authorities, authorities.get(index))

    async def _try(
        self, child: int, index: int, standby: bool, source_settings: _SourceSettings
    ) -> None:
        failure = _STOPPED
        try:
            failure = await self._pull(child, index, standby, source_settings)
        finally:
            running = self._running.pop(child, None)
            if running is not None:
                if running.source is not None:
                    running.source.close(failure)
                self._count(index, failure)
        if running is not None:
            self._handle(Ended(child, failure))

    async def _pull(
        self, child: int, index: int, standby: bool, source_settings: _SourceSettings
    ) -> PullFailure:
        if source_settings.uri is None:
            return PullFailure(Outcome.INVALID_URI, "The Secret with the URI has no such key.")
        if self._guard is None:
            return PullFailure(Outcome.NOT_ALLOWED, "The configured address ranges are not valid.")
        text = source_settings.uri.get_secret_value()
        try:
            uri = parse_pull_uri(text)
            tls = self._trust(uri, source_settings)
        except InvalidUriError as invalid:
            return PullFailure(Outcome.INVALID_URI, str(invalid))
        except InvalidAuthorityError as invalid:
            return PullFailure(Outcome.TLS, str(invalid))

        turn = self._turns.get(text, 0)
        self._turns[text] = turn + 1

        def open_leg() -> PullLeg:
            self._turns[text] = turn  # keep this address: media has arrived from it
            # A standby may have been promoted before its first media arrived.
            return self._sink.open(index, standby and self._machine.view().standby == index)

        source = SourceTry(
            uri,
            self._guard,
            tls,
            open_leg=open_leg,
            arrived=lambda count: self._arrived(child, count),
            encode_audio=text in self._encodes,
            turn=turn,
        )
        if (running := self._running.get(child)) is not None:
            running.source = source
        failure = await source.run()
        if source.encode_audio:
            self._encodes.add(text)
        return failure

    def _trust(self, uri: PullUri, source_settings: _SourceSettings) -> ssl.SSLContext:
        """Return the TLS context of a source. Raise InvalidAuthorityError.

        After an error nothing is dialled, and the public authorities are not used instead.
        """
        if not source_settings.has_authority:
            return self._tls
        if not uri.tls:
            raise InvalidAuthorityError(
                "A CA certificate is for rtmps://, https:// and rtsps:// alone, and the URI has "
                "another scheme."
            )
        if source_settings.authority is None:
            raise InvalidAuthorityError("The Secret with the CA certificate has no such key.")
        return client_context(source_settings.authority.get_secret_value())

    # ------------------------------------------------------------------ status

    def _publish(self) -> None:
        view = self._machine.view()
        if view.delivers and view.index != self._on_air:
            if self._on_air is not None:
                self._metrics.switches.inc()
            _log.info("pull_on_air", uri=view.index)
            self._on_air = view.index
        message = None
        if view.failure is not None:
            message = f"Uri {view.failure[0]}: {view.failure[1].message}"
        status = PullStatus(
            uri_index=view.index,
            delivers=view.delivers,
            standby_index=view.standby,
            given_up=self._settings.request if self._settings and view.inactive else None,
            message=message,
        )
        if status != self._status:
            self._status = status
            self._on_status(status)


def _guard(guard: AddressGuard, resolver: Resolver) -> DialGuard | None:
    try:
        return DialGuard(AddressRules.of(guard), resolver)
    except ValueError:
        _log.error("pull_guard_not_valid")
        return None
