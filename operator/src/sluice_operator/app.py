"""The operator process: it builds all parts of the operator, starts them in order, and stops them.

Start: probes -> login -> wait for our kinds -> list all objects -> watch -> Lease -> workers.
End: start no new pass -> wait for running passes -> post waiting events -> give the Lease back.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from sluice_operator.controllers.context import Context
from sluice_operator.controllers.deletion_notices import DeletionNotices
from sluice_operator.controllers.edge_key import edge_key
from sluice_operator.controllers.indices import INDICES, slim_object
from sluice_operator.controllers.livestream import LiveStreamController
from sluice_operator.controllers.mediastore import MediaStoreController
from sluice_operator.controllers.ranges import ClusterRanges
from sluice_operator.controllers.recording import RecordingController
from sluice_operator.controllers.restream import RestreamController
from sluice_operator.controllers.service_events import ServiceEvents, ServiceRef
from sluice_operator.controllers.wakeups import Wakeups, is_current
from sluice_operator.domain.names import FINALIZER, GROUP, MANAGED_BY, MANAGED_BY_LABEL
from sluice_operator.engine.cache import Cache, Manifest, uid_of, version_of
from sluice_operator.engine.children import Children
from sluice_operator.engine.clock import Clock, SystemClock
from sluice_operator.engine.controller import Controller
from sluice_operator.engine.events import EventRecorder
from sluice_operator.engine.leader import Leader
from sluice_operator.engine.lookup import Lookup
from sluice_operator.engine.loop import Loop
from sluice_operator.engine.queue import WorkQueue
from sluice_operator.engine.reconcile import Reconciler
from sluice_operator.engine.resync import Resync, Watched, list_everything, missing_crds
from sluice_operator.handlers.watch import watch
from sluice_operator.kube.client import KubeClient
from sluice_operator.kube.errors import ApiError
from sluice_operator.kube.resources import (
    DEPLOYMENTS,
    JOBS,
    LIVE_STREAMS,
    MEDIA_STORES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    RECORDINGS,
    RESTREAMS,
    SERVICES,
)
from sluice_operator.pods.http import DirectHttp, PodHttp, ProxyHttp
from sluice_operator.pods.observer import StatusObserver
from sluice_operator.pods.samples import Samples
from sluice_operator.pods.store_client import StoreClient
from sluice_operator.settings import Settings
from sluice_operator.telemetry.metrics import Metrics
from sluice_operator.telemetry.probes import serve_probes

_OURS = (MEDIA_STORES, LIVE_STREAMS, RECORDINGS, RESTREAMS)
_CHILDREN = (PODS, DEPLOYMENTS, JOBS, SERVICES, POD_DISRUPTION_BUDGETS)
_RETRY_SECONDS = 2.0
_DRAIN_SECONDS = 5.0
_EVENTS_SECONDS = 2.0

_log = structlog.get_logger(__name__)


def watched_resources(namespaces: tuple[str, ...]) -> tuple[Watched, ...]:
    """Return the watched kinds. Objects that are not of our own kinds must have our label."""
    selector = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
    ours = (Watched(r, namespaces=namespaces) for r in _OURS)
    children = (Watched(r, selector, namespaces) for r in _CHILDREN)
    return (*ours, *children)


@dataclass(slots=True, kw_only=True)
class _Components:
    """The parts of the operator that run or are called after the start."""

    cache: Cache
    observer: StatusObserver
    wakeups: Wakeups
    context: Context
    events: EventRecorder
    deletions: DeletionNotices
    loop: Loop
    resync: Resync
    ranges: ClusterRanges | None
    """None: the settings name the cluster's ranges."""
    leader: Leader


async def run(settings: Settings) -> None:
    """Run until SIGTERM, SIGINT or a failure. After a failure the process should be restarted."""
    operator = _Operator(settings)
    async with serve_probes(
        settings.bind, settings.port, registry=operator.metrics.registry, ready=operator.is_ready
    ) as port:
        _log.info("probes_up", port=port)
        await operator.serve()


class _Assembly:
    """Builder of the operator's parts."""

    def __init__(
        self, settings: Settings, watched: tuple[Watched, ...], clock: Clock, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._watched = watched
        self._clock = clock
        self._metrics = metrics

    def build(self, api: KubeClient, lease_api: KubeClient, http: PodHttp) -> _Components:
        """Build all parts for these clients."""
        settings, clock, metrics = self._settings, self._clock, self._metrics
        cache = Cache(slim_object, INDICES)
        queue = WorkQueue(clock)
        metrics.cached_objects.set_function(cache.__len__)
        metrics.queue_depth.set_function(queue.__len__)
        watched = {entry.resource.kind for entry in self._watched}
        lookup = Lookup(api, cache, clock, watched=watched)
        samples = Samples(clock)
        context = Context(
            cache=cache,
            lookup=lookup,
            samples=samples,
            clock=clock,
            settings=settings.domain(),
            started_at=clock.monotonic(),
        )
        observer = StatusObserver(
            http,
            samples,
            clock,
            metrics,
            token_of=context.status_token,
            is_current=partial(is_current, cache),
            on_answer=lambda owner, former, status: wakeups.on_answer(owner, former, status),
            on_liveness=queue.add,
        )
        context.rounds = observer
        wakeups = Wakeups(cache, queue, observer, context.targets)
        stores = StoreClient(cache, samples, clock, http, context.status_token)
        deletions = DeletionNotices(cache, stores, clock)
        events = EventRecorder(api, clock, metrics, instance=settings.identity)
        reconciler = Reconciler(
            api,
            cache,
            Children(api, lookup),
            events,
            store=stores,
            clock=clock,
            finalizer=FINALIZER,
        )
        controllers = self._controllers(api, context, stores, deletions)
        return _Components(
            cache=cache,
            observer=observer,
            wakeups=wakeups,
            context=context,
            events=events,
            deletions=deletions,
            loop=Loop(queue, reconciler, controllers, clock, metrics, workers=settings.workers),
            resync=Resync(
                api,
                cache,
                lookup,
                clock,
                self._watched,
                group=GROUP,
                enqueue_all=wakeups.enqueue_all,
            ),
            ranges=self._ranges(api, context, wakeups),
            leader=self._leader(lease_api),
        )

    def _controllers(
        self, api: KubeClient, context: Context, stores: StoreClient, deletions: DeletionNotices
    ) -> tuple[Controller[Any], ...]:
        settings = self._settings
        return (
            LiveStreamController(
                context,
                self._service(settings.gateway_service),
                self._service(settings.whip_service),
                gateway_srt=self._service(settings.gateway_srt_service),
                edge=self._service(settings.edge_service),
                events=ServiceEvents(api, self._clock),
            ),
            RecordingController(context, stores, deletions),
            RestreamController(context),
            MediaStoreController(context),
        )

    def _ranges(self, api: KubeClient, context: Context, wakeups: Wakeups) -> ClusterRanges | None:
        settings = self._settings
        if settings.network_cluster_ranges:
            return None
        return ClusterRanges(
            api,
            self._clock,
            settings.pod_addresses,
            on_change=lambda found: self._use_ranges(context, wakeups, found),
            namespaces=settings.watch_namespaces,
        )

    def _leader(self, api: KubeClient) -> Leader:
        settings = self._settings
        return Leader(
            api,
            self._clock,
            namespace=settings.namespace,
            name=settings.lease_name,
            identity=settings.identity,
        )

    def _use_ranges(self, context: Context, wakeups: Wakeups, found: tuple[str, ...]) -> None:
        """Refuse the cluster's ranges from now on, and queue all streams for a pass."""
        settings = self._settings.model_copy(update={"network_cluster_ranges": found})
        context.settings = settings.domain()
        wakeups.enqueue_all()

    def _service(self, name: str) -> ServiceRef | None:
        namespace = self._settings.gateway_namespace or self._settings.namespace
        return ServiceRef(namespace, name) if name else None


class _Operator:
    """The running operator: its clients, its tasks and its signal handlers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock: Clock = SystemClock()
        self._watched = watched_resources(settings.watch_namespaces)
        self._stop = asyncio.Event()
        self._ready = False
        self.metrics = Metrics()

    def is_ready(self) -> bool:
        """Return whether the cache is filled and the watch runs, on a leader or not."""
        return self._ready

    async def serve(self) -> None:
        self._listen_to_signals()
        count = self.metrics.count_request
        async with (
            KubeClient.connect(count) as api,
            # A connection of its own, so that busy connections cannot delay the Lease's renewal.
            KubeClient.connect(count, connections=1) as lease_api,
            self._http(api) as http,
        ):
            components = self._assemble(api, lease_api, http)
            if await self._prepare(api, components):
                await self._work(components)

    async def _prepare(self, api: KubeClient, components: _Components) -> bool:
        """Read the cluster's ranges and the edge's key, wait for our kinds, and fill the cache.

        Return False when a signal stops the process first. Raises RangesUnknownError or
        EdgeKeyMissingError."""
        while not self._stop.is_set():
            try:
                if components.ranges is not None:
                    await components.ranges.find()
                await self._read_edge_key(api, components.context)
                missing = await missing_crds(api, self._watched, GROUP)
                if not missing:
                    await list_everything(api, components.cache, self._watched)
                    return True
                _log.warning("waiting_for_crds", missing=sorted(missing))
            except ApiError as error:
                _log.warning("api_server_not_usable", error=str(error))
            try:
                async with asyncio.timeout(_RETRY_SECONDS):
                    await self._stop.wait()
            except TimeoutError:
                continue
        return False

    async def _read_edge_key(self, api: KubeClient, context: Context) -> None:
        settings = self._settings
        if settings.edge_key_secret and context.edge_key is None:
            context.edge_key = await edge_key(api, settings.namespace, settings.edge_key_secret)

    async def _work(self, components: _Components) -> None:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(components), name="watch")
            resyncing = tasks.create_task(components.resync.run(), name="resync")
            finding = tasks.create_task(self._find_ranges(components), name="ranges")
            leading = tasks.create_task(self._lead(components), name="lead")
            await self._stop.wait()
            _log.info("stopping")
            await components.loop.drain(_DRAIN_SECONDS)
            await components.events.flush(_EVENTS_SECONDS)
            leading.cancel()
            await asyncio.wait([leading])
            resyncing.cancel()
            finding.cancel()
            watching.cancel()

    async def _find_ranges(self, components: _Components) -> None:
        if components.ranges is not None:
            await components.ranges.run()

    async def _watch(self, components: _Components) -> None:
        def on_gone(obj: Manifest) -> None:
            components.cache.remove(uid_of(obj), version_of(obj))

        def on_started() -> None:
            self._listen_to_signals()
            self._ready = True

        await watch(
            self._watched,
            namespaces=self._settings.watch_namespaces,
            on_seen=components.cache.update,
            on_gone=on_gone,
            on_listed=components.resync.soon,
            on_started=on_started,
        )

    async def _lead(self, components: _Components) -> None:
        """Run all parts that write while this process holds the Lease."""
        async with components.leader.leading(), asyncio.TaskGroup() as tasks:
            self.metrics.leading.set(1)
            components.context.started_at = self._clock.monotonic()
            tasks.create_task(components.observer.run(), name="observer")
            tasks.create_task(components.events.run(), name="events")
            tasks.create_task(components.deletions.run(), name="deletions")
            tasks.create_task(components.loop.run(), name="loop")
            components.wakeups.enqueue_all()

    def _assemble(self, api: KubeClient, lease_api: KubeClient, http: PodHttp) -> _Components:
        assembly = _Assembly(self._settings, self._watched, self._clock, self.metrics)
        return assembly.build(api, lease_api, http)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    @asynccontextmanager
    async def _http(self, api: KubeClient) -> AsyncIterator[PodHttp]:
        if self._settings.observe_mode == "proxy":
            yield ProxyHttp(api)
            return
        async with DirectHttp() as direct:
            yield direct
