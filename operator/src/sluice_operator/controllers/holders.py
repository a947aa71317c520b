"""Which Restreams may be connected to a target by what their configurations say or said.

A configuration names targets by clearances, which only the target's digest and the hub's token lead
to. So a Restream is found by the digests that its pusher has shown; while a clearance of it follows
from none of them (its pusher was not heard since this operator started) it counts for every target
of its namespace, and its configuration is to be read.
"""

from __future__ import annotations

from collections.abc import Iterable

from sluice_media.contract import target_clearance
from sluice_operator.controllers.targets import Place
from sluice_operator.domain.restream.clearance import stored_clearance
from sluice_operator.engine.cache import Cache, Manifest, uid_of

_DIGESTS = 8
"""Targets of one Restream that are remembered, the latest."""


class HolderBook:
    """By uid of the Restream; follows the cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._digests: dict[str, dict[str, None]] = {}
        self._places: dict[str, frozenset[Place]] = {}
        self._uids: dict[Place, dict[str, None]] = {}
        self._unknown: dict[str, dict[str, None]] = {}
        for restream in cache.of_kind("Restream"):
            self._on_change(None, restream)
        cache.subscribe(self._on_change)

    def holders(self, place: Place) -> list[str]:
        """Those that may hold the target: their configurations tell for sure."""
        return [*self._uids.get(place, ()), *self._unknown.get(place[0], ())]

    def note(
        self, obj: Manifest, config_maps: Iterable[Manifest], token: str | None, digest: str
    ) -> frozenset[Place]:
        """Take in what a Restream's configurations say. ``digest``: what its pusher shows, if it
        was heard. Returns the targets that are known to be held."""
        uid, namespace = uid_of(obj), obj["metadata"]["namespace"]
        if self._cache.by_uid(uid) is None:
            return frozenset()
        if digest:
            self._remember(uid, digest)
        held = _clearances(config_maps)
        found: dict[str, str] = {}
        if token is not None and held:
            found = {target_clearance(d, token): d for d in self._digests.get(uid, ())}
        self._set(uid, frozenset((namespace, found[c]) for c in held & found.keys()))
        unknown = self._unknown.setdefault(namespace, {})
        if held <= found.keys():
            unknown.pop(uid, None)
        else:
            unknown[uid] = None
        return self._places.get(uid, frozenset())

    def _remember(self, uid: str, digest: str) -> None:
        known = self._digests.setdefault(uid, {})
        known.pop(digest, None)
        known[digest] = None
        if len(known) > _DIGESTS:
            del known[next(iter(known))]

    def _set(self, uid: str, places: frozenset[Place]) -> None:
        former = self._places.pop(uid, frozenset())
        for place in former - places:
            del self._uids[place][uid]
            if not self._uids[place]:
                del self._uids[place]
        for place in places - former:
            self._uids.setdefault(place, {})[uid] = None
        if places:
            self._places[uid] = places

    def _on_change(self, former: Manifest | None, present: Manifest | None) -> None:
        obj = present or former
        if obj is None or obj["kind"] != "Restream":
            return
        unknown = self._unknown.setdefault(obj["metadata"]["namespace"], {})
        if former is None:
            unknown[uid_of(obj)] = None
        elif present is None:
            unknown.pop(uid_of(obj), None)
            self._digests.pop(uid_of(obj), None)
            self._set(uid_of(obj), frozenset())


def _clearances(config_maps: Iterable[Manifest]) -> set[str]:
    found: set[str] = set()
    for config_map in config_maps:
        clearance = stored_clearance(config_map)
        found.update(clearance.withdrawn_targets)
        if clearance.cleared_target:
            found.add(clearance.cleared_target)
    return found
