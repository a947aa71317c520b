"""Which Restreams push to the same target, as far as their pushers have said.

In: the digest that a pusher shows of its target. Out: who else of the namespace shows the same. An
index, so that fifty Restreams of one stream cost fifty look-ups and not their product. Digests are
kept in memory only; after a start of the operator they come with the pushers' first answers.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Set

Place = tuple[str, str]
"""(namespace, digest of a target)."""

_REVISIONS = 10_000


class TargetBook:
    """By uid of the Restream; an entry outlives the object until its last pod has gone."""

    def __init__(self) -> None:
        self._place: dict[str, Place] = {}
        self._uids: dict[Place, set[str]] = {}
        self._serial = itertools.count(1)
        self._revisions: OrderedDict[Place, int] = OrderedDict()

    def revision(self, place: Place) -> int:
        """Changes with each change that concerns the target."""
        return self._revisions.get(place, 0)

    def touch(self, place: Place) -> None:
        """Note that something about the target has changed."""
        self._revisions[place] = next(self._serial)
        self._revisions.move_to_end(place)
        if len(self._revisions) > _REVISIONS:
            self._revisions.popitem(last=False)

    def note(self, uid: str, namespace: str, digest: str) -> Set[str]:
        """A pusher says what its target is (empty: none that is usable). Returns whom that
        concerns: those with the former and with the new target, when it changed."""
        place = (namespace, digest)
        if self._place.get(uid) == place or (not digest and uid not in self._place):
            return frozenset()
        concerned = self.forget(uid)
        if digest:
            self._place[uid] = place
            self._uids.setdefault(place, set()).add(uid)
            self.touch(place)
        return concerned | self.others(uid)

    def __contains__(self, uid: str) -> bool:
        return uid in self._place

    def others(self, uid: str) -> Set[str]:
        """Those with the same target."""
        place = self._place.get(uid)
        return frozenset(self._uids[place] - {uid}) if place is not None else frozenset()

    def forget(self, uid: str) -> Set[str]:
        """It pushes nothing any more. Returns those that have the target still."""
        place = self._place.pop(uid, None)
        if place is None:
            return frozenset()
        self.touch(place)
        self._uids[place].discard(uid)
        if not self._uids[place]:
            del self._uids[place]
            return frozenset()
        return frozenset(self._uids[place])
