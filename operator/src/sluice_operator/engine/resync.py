"""Resync: compares the cache with the API server, to find changes that the watch did not report.

It runs 15 s after a start, 5 s after a new list of the watch, and every ten minutes. It is needed
because an object that is deleted between our own list and the list of the watch stays in the cache
as a ghost. It lists metadata only. Afterwards every object of ours gets a pass, so that children
that are not watched (Secrets, ConfigMaps) are repaired too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from sluice_operator.engine.cache import Cache, Manifest, uid_of, version_of
from sluice_operator.engine.clock import Clock
from sluice_operator.engine.controller import Api
from sluice_operator.engine.lookup import Lookup
from sluice_operator.kube.client import ListPage
from sluice_operator.kube.errors import ApiError, NotFoundError
from sluice_operator.kube.resources import Resource

_FIRST_SECONDS = 15.0
_EVERY_SECONDS = 600.0
_SOON_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class CrdVanishedError(RuntimeError):
    """One of our kinds is not served any more, so this process must end."""


@dataclass(slots=True, frozen=True)
class Watched:
    """A kind that is watched."""

    resource: Resource
    label_selector: str = ""
    namespaces: tuple[str, ...] = ()
    """Watched namespaces; empty: all."""

    async def pages(self, api: Api, *, metadata_only: bool = False) -> list[ListPage]:
        """List all objects, one page for each namespace. Raises ApiError."""
        return [
            await api.list(
                self.resource,
                namespace=namespace,
                label_selector=self.label_selector,
                metadata_only=metadata_only,
            )
            for namespace in self.namespaces or (None,)
        ]


async def missing_crds(api: Api, watched: Iterable[Watched], group: str) -> set[str]:
    """Return the plural names of our kinds that the API server does not serve."""
    ours = [w.resource for w in watched if w.resource.group == group]
    served: set[str] = set()
    for version in {resource.version for resource in ours}:
        served |= await api.served(group, version)
    return {resource.plural for resource in ours} - served


async def list_everything(api: Api, cache: Cache, watched: Iterable[Watched]) -> None:
    """Fill the cache before the workers start."""
    for entry in watched:
        items = [item for page in await entry.pages(api) for item in page.items]
        for obj in items:
            cache.update(obj)
        _log.info("listed", kind=entry.resource.kind, objects=len(items))


class Resync:
    """The timer of the resync, and its rounds. ``enqueue_all()`` is called after each round."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        lookup: Lookup,
        clock: Clock,
        watched: Iterable[Watched],
        *,
        group: str,
        enqueue_all: Callable[[], None],
    ) -> None:
        self._api = api
        self._cache = cache
        self._lookup = lookup
        self._clock = clock
        self._watched = tuple(watched)
        self._group = group
        self._enqueue_all = enqueue_all
        self._due = asyncio.Event()
        self._is_soon = False

    def soon(self) -> None:
        """Start a round in 5 s.

        Called when the watch starts again with a list, which does not report deleted objects."""
        if not self._is_soon:
            self._is_soon = True
            self._clock.call_later(_SOON_SECONDS, self._due.set)

    async def run(self) -> None:
        """Make rounds until cancelled; repeat a round that failed. Raises CrdVanishedError."""
        await self._clock.sleep(_FIRST_SECONDS)
        while True:
            self._is_soon = False
            self._due.clear()
            try:
                await self.once()
            except ApiError as error:
                _log.warning("resync_failed", error=str(error))
                self.soon()
            timer = self._clock.call_later(_EVERY_SECONDS, self._due.set)
            await self._due.wait()
            timer.cancel()

    async def once(self) -> None:
        """Make one round. Raises CrdVanishedError or ApiError."""
        missing = await missing_crds(self._api, self._watched, self._group)
        if missing:
            raise CrdVanishedError(f"not served any more: {', '.join(sorted(missing))}")
        for entry in self._watched:
            await self._compare(entry)
        self._lookup.sweep()
        self._enqueue_all()

    async def _compare(self, entry: Watched) -> None:
        pages = await entry.pages(self._api, metadata_only=True)
        listed: Mapping[str, Manifest] = {
            uid_of(item): item for page in pages for item in page.items
        }
        # An object that is newer than the list may be missing in it, and is not a ghost.
        as_of = min(_number(page.resource_version) for page in pages)
        ghosts = [
            uid_of(obj)
            for obj in self._cache.of_kind(entry.resource.kind)
            if uid_of(obj) not in listed and version_of(obj) <= as_of
        ]
        for uid in ghosts:
            self._cache.remove(uid, as_of)
        late = [item for uid, item in listed.items() if self._is_news(uid, item)]
        for item in late:
            await self._fetch(entry.resource, item)
        if ghosts or late:
            _log.info("resync", kind=entry.resource.kind, ghosts=len(ghosts), late=len(late))

    def _is_news(self, uid: str, item: Manifest) -> bool:
        cached = self._cache.by_uid(uid)
        return cached is None or version_of(cached) < version_of(item)

    async def _fetch(self, resource: Resource, item: Manifest) -> None:
        meta = item["metadata"]
        try:
            live = await self._api.get(resource, meta["namespace"], meta["name"])
        except NotFoundError:
            return
        self._cache.update(live)


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0
