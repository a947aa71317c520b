"""Watches of the Kubernetes API, run by kopf. Every object that arrives is passed to a callback.

Only ``on.event`` is used, so that kopf writes nothing to any object. Handlers for create, update
and resume would keep annotations on every object. Daemons and timers would add finalizers. Indices
make the start quadratic in the number of objects.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import kopf
from kopf._cogs.clients import watching
from kubernetes.aio.client import Configuration

from sluice_operator.engine.cache import Manifest
from sluice_operator.engine.resync import Watched
from sluice_operator.kube.login import authorization, load_configuration

Sink = Callable[[Manifest], object]


class _Endless:
    """Pauses between retries: 1, 2, 4, 8 and 16 s, then 30 s for ever."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1.0, 2.0, 4.0, 8.0, 16.0), itertools.repeat(30.0))


def watch_settings(watched: Collection[Watched]) -> kopf.OperatorSettings:
    """Return settings with which kopf only watches: no peering, no events of its own."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.queueing.worker_limit = None
    settings.posting.enabled = False
    settings.watching.chunk_size = 500
    settings.watching.initial_streaming = False
    settings.networking.error_backoffs = _Endless()
    for entry in watched:
        if entry.label_selector:
            resource = (entry.resource.group, entry.resource.version, entry.resource.plural)
            settings.watching.label_selectors[resource] = entry.label_selector
    return settings


def watch_registry(
    watched: Collection[Watched], on_seen: Sink, on_gone: Sink, on_listed: Callable[[], None]
) -> kopf.OperatorRegistry:
    """Return a registry with one event handler for each watched kind, and our login."""
    registry = kopf.OperatorRegistry()

    async def on_event(event: kopf.RawEvent, **_: Any) -> None:
        (on_gone if event["type"] == "DELETED" else on_seen)(event["object"])
        if event["type"] is None:  # the object comes from a list, not from a watch
            on_listed()

    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await _connection(await load_configuration())

    for entry in watched:
        resource = entry.resource
        kopf.on.event(resource.group, resource.version, resource.plural, registry=registry)(
            on_event
        )
    kopf.on.login(registry=registry)(login)
    return registry


@contextmanager
def lists_reported(watched: Collection[Watched], on_listed: Callable[[], None]) -> Iterator[None]:
    """Call ``on_listed`` at the end of each list, also of an empty one.

    kopf passes on only the objects of a list. After an empty list it calls no handler, although
    all objects may have been deleted. Inside kopf, `continuous_watch` yields a mark at the end of
    a list. This function wraps `continuous_watch` to see that mark.
    """
    original = watching.continuous_watch
    ours = {(entry.resource.group, entry.resource.plural) for entry in watched}

    async def reporting(**arguments: Any) -> AsyncIterator[Any]:
        resource = arguments["resource"]
        async for event in original(**arguments):
            if event is watching.Bookmark.LISTED and (resource.group, resource.plural) in ours:
                on_listed()
            yield event

    watching.continuous_watch = reporting
    try:
        yield
    finally:
        watching.continuous_watch = original


async def watch(
    watched: Collection[Watched],
    *,
    namespaces: tuple[str, ...],
    on_seen: Sink,
    on_gone: Sink,
    on_listed: Callable[[], None],
    on_started: Callable[[], None],
) -> None:
    """Watch until cancelled. Raise when kopf cannot continue, for example after a CRD vanished.

    ``on_seen`` and ``on_gone`` get each object that exists or was deleted. ``on_listed`` is called
    after each list, and for each object in a list. ``on_started`` is called when the tasks of kopf
    exist. At that moment kopf has replaced the process's signal handlers with its own.
    """
    existing = asyncio.all_tasks()
    with lists_reported(watched, on_listed):
        tasks = await kopf.spawn_tasks(
            registry=watch_registry(watched, on_seen, on_gone, on_listed),
            settings=watch_settings(watched),
            clusterwide=not namespaces,
            namespaces=namespaces,
        )
        on_started()
        await kopf.run_tasks(tasks, ignored=existing)
    raise RuntimeError("the watch has ended")


async def _connection(configuration: Configuration) -> kopf.ConnectionInfo:
    """Return the credentials of our own client for kopf, which requests new ones after a 401."""
    scheme, _, token = (await authorization(configuration)).get("Authorization", "").partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme=scheme or None,
        token=token or None,
        proxy_url=configuration.proxy,
    )
