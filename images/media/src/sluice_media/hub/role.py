"""The ingest role: starts and ends configuration watch, status server, hub server and pull."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

import structlog
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sluice_media.contract import (
    HUB_TOKEN_FILE,
    INGEST_BACKUP_TOKEN_FILE,
    INGEST_TOKEN_FILE,
    SRT_PASSPHRASE_FILE,
    ConfigErrorReason,
    IngestConfig,
    IngestStatus,
    PullStatus,
)
from sluice_media.hub.clock import system_clock
from sluice_media.hub.http.leg_endpoint import is_passphrase
from sluice_media.hub.http.server import HubServer
from sluice_media.hub.hub import Hub
from sluice_media.hub.legs.leg import LegName
from sluice_media.hub.metrics import HubMetrics
from sluice_media.hub.pull_legs import PulledLegs
from sluice_media.hub.status import TICKING, hub_status
from sluice_media.pod.config_files import ConfigWatch
from sluice_media.pod.settings import PodSettings
from sluice_media.pod.signals import termination
from sluice_media.pod.status_server import StatusBoard, serve_status
from sluice_media.pull import PullMetrics, PullSettings, pull_error, pull_settings, run_pull

DRAIN_SECONDS = 12.0
"""Maximum time from SIGTERM to the end of a running leg. The ingest pod's termination grace period
is 15 s."""
_DRAIN_POLL_SECONDS = 0.1
_KEY_MISSING = (
    "The ingest Secret has no key '{}': publishers of the {} leg are refused. Add the key."
)

_log = structlog.get_logger(__name__)


class _Role:
    """One process's hub, with its configuration, keys, servers and status."""

    def __init__(self, settings: PodSettings) -> None:
        self.settings = settings
        self.watch = ConfigWatch(IngestConfig, settings.config_file, settings.keys_dir)
        self.registry = CollectorRegistry()
        self.hub = Hub(self.watch.config)
        first = IngestStatus(pod_uid=settings.pod_uid, version=0, observed_at=datetime.now(UTC))
        self.board = StatusBoard(first, ticking=TICKING)
        self.keys: Mapping[LegName, SecretStr] = {}
        self.server = HubServer(
            self.hub,
            keys=lambda: self.keys,
            token=self.hub_token,
            passphrase=lambda: self.watch.key(SRT_PASSPHRASE_FILE),
            metrics=HubMetrics(self.registry, self.hub),
            on_change=self.publish,
            spool_folder=settings.spool_dir / "timelines",
        )
        self.listening = False
        self._reconfigured = asyncio.Event()

    def hub_token(self) -> SecretStr | None:
        return self.watch.key(HUB_TOKEN_FILE)

    def publish(self) -> None:
        self.board.update(**hub_status(self.hub, system_clock()))

    def apply_configuration(self) -> None:
        """Apply the present configuration and keys, and echo the configuration in the status."""
        self.keys = self.publisher_keys()
        self.server.configure(self.watch.config)
        self._reconfigured.set()
        self.publish()
        self.board.configured(self.watch.config, self.configuration_error())

    def publisher_keys(self) -> Mapping[LegName, SecretStr]:
        files = {LegName.PRIMARY: INGEST_TOKEN_FILE}
        if self.watch.config.backup:
            files[LegName.BACKUP] = INGEST_BACKUP_TOKEN_FILE
        found = {name: self.watch.key(file) for name, file in files.items()}
        return {name: key for name, key in found.items() if key is not None}

    def configuration_error(self) -> tuple[str, str] | None:
        """Return the reason and message of a configuration error; None when there is none."""
        config = self.watch.config
        if LegName.PRIMARY not in self.keys and config.pull is None:
            return ConfigErrorReason.SECRET_KEY_MISSING, _KEY_MISSING.format("token", "primary")
        if config.backup and LegName.BACKUP not in self.keys:
            message = _KEY_MISSING.format("backupToken", "backup")
            return ConfigErrorReason.SECRET_KEY_MISSING, message
        pulled = pull_settings(config, self.watch.key)
        if pulled is not None and (error := pull_error(pulled)) is not None:
            return error
        if config.srt_passphrase and not is_passphrase(self.watch.key(SRT_PASSPHRASE_FILE)):
            message = "The SRT Secret has no passphrase of 10 to 79 bytes: SRT is refused. Set one."
            return ConfigErrorReason.PASSPHRASE_MISSING, message
        return None

    async def follow_configuration(self) -> None:
        async for _ in self.watch.changes():
            self.apply_configuration()

    async def pull(self) -> None:
        """Fetch the media of a pulled stream until cancelled."""
        sink = PulledLegs(self.hub, clock=system_clock, changed=self.server.changed)
        metrics = PullMetrics(self.registry)
        await run_pull(self.pull_changes(), sink, self.publish_pull, metrics)

    def publish_pull(self, status: PullStatus) -> None:
        self.board.update(pull=status)

    async def pull_changes(self) -> AsyncIterator[PullSettings | None]:
        while True:
            self._reconfigured.clear()
            yield pull_settings(self.watch.config, self.watch.key)
            await self._reconfigured.wait()

    async def drain(self) -> None:
        """Wait after SIGTERM until the session has ended, up to :data:`DRAIN_SECONDS`.

        New publishers get 503 and retry at the next hub. A pulled stream does not wait."""
        self.hub.stopping = True
        if self.watch.config.pull is not None:
            return  # The next pod pulls on its own. Two pulls at a time would show content twice.
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        _log.info("draining", legs=len(self.hub.legs))
        while self.hub.legs or self.hub.output.timeline is not None:
            if asyncio.get_running_loop().time() >= deadline:
                break
            await asyncio.sleep(_DRAIN_POLL_SECONDS)

    async def send_publishers_away(self) -> None:
        """Send publishers to the next hub.

        No ticks run by now: a session must not end because its hub stops. Readers that got no end
        record look for the next hub."""
        self.server.legs.drain()
        await asyncio.sleep(_DRAIN_POLL_SECONDS)


async def serve(settings: PodSettings) -> None:
    """Run until SIGTERM or SIGINT, then drain."""
    role = _Role(settings)
    stop = termination()
    role.apply_configuration()
    spool = role.server.spool
    if spool is not None:
        await spool.load()
        role.publish()
    async with (
        serve_status(
            board=role.board,
            token=role.hub_token,
            ready=lambda: role.listening,
            registry=role.registry,
            host=settings.bind,
            port=settings.status_port,
        ),
        role.server.listen(settings.bind, settings.hub_port) as port,
        asyncio.TaskGroup() as group,
    ):
        role.listening = True
        _log.info("listening", port=port, stream=role.watch.config.name)
        tasks = [
            group.create_task(role.server.run(), name="hub-tick"),
            group.create_task(role.follow_configuration(), name="hub-config"),
            group.create_task(role.pull(), name="hub-pull"),
        ]
        if spool is not None:
            tasks.append(group.create_task(spool.run(), name="hub-spool"))
        await stop.wait()
        await role.drain()
        role.listening = False
        for task in tasks:
            task.cancel()
        await role.send_publishers_away()
