"""Finds what the watch did not tell: soon after a start or a new list, and every ten minutes.

An object that is deleted between our own list and the watch's is reported by nobody and stays in
the cache as a ghost; hence the first look after 15 s. It lists metadata only. Every object of
ours is looked at afterwards, so that what is not watched (Secrets, ConfigMaps) is repaired too.
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
    """A kind of ours is not served any more: this process has nothing to do here."""


@dataclass(slots=True, frozen=True)
class Watched:
    resource: Resource
    label_selector: str = ""
    namespaces: tuple[str, ...] = ()
    """Empty: all of them."""

    async def pages(self, api: Api, *, metadata_only: bool = False) -> list[ListPage]:
        """All objects, a page for each namespace. Raises ApiError."""
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
    """Plural names of our kinds that discovery does not show."""
    ours = [w.resource for w in watched if w.resource.group == group]
    served: set[str] = set()
    for version in {resource.version for resource in ours}:
        served |= await api.served(group, version)
    return {resource.plural for resource in ours} - served


async def list_everything(api: Api, cache: Cache, watched: Iterable[Watched]) -> None:
    """Fills the cache before the workers begin."""
    for entry in watched:
        items = [item for page in await entry.pages(api) for item in page.items]
        for obj in items:
            cache.update(obj)
        _log.info("listed", kind=entry.resource.kind, objects=len(items))


class Resync:
    """``look_at_all()`` is called after each round."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        lookup: Lookup,
        clock: Clock,
        watched: Iterable[Watched],
        *,
        group: str,
        look_at_all: Callable[[], None],
    ) -> None:
        self._api = api
        self._cache = cache
        self._lookup = lookup
        self._clock = clock
        self._watched = tuple(watched)
        self._group = group
        self._look_at_all = look_at_all
        self._due = asyncio.Event()
        self._is_soon = False

    def soon(self) -> None:
        """The watch began anew with a list: what was deleted meanwhile is in none of its events."""
        if not self._is_soon:
            self._is_soon = True
            self._clock.call_later(_SOON_SECONDS, self._due.set)

    async def run(self) -> None:
        """Until cancelled. Raises CrdVanishedError; an API server that is away is waited for."""
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
        """One round. Raises CrdVanishedError or ApiError."""
        missing = await missing_crds(self._api, self._watched, self._group)
        if missing:
            raise CrdVanishedError(f"not served any more: {', '.join(sorted(missing))}")
        for entry in self._watched:
            await self._compare(entry)
        self._lookup.sweep()
        self._look_at_all()

    async def _compare(self, entry: Watched) -> None:
        pages = await entry.pages(self._api, metadata_only=True)
        listed: Mapping[str, Manifest] = {
            uid_of(item): item for page in pages for item in page.items
        }
        # What is newer than the list cannot be missing in it.
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
