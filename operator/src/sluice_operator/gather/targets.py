"""Which Restreams push to the same target, as far as their pushers have said.

In: the digest that a pusher shows of its target. Out: who else of the namespace shows the same. An
index, so that fifty Restreams of one stream cost fifty look-ups and not their product. Digests are
kept in memory only; after a start of the operator they come with the pushers' first answers.
"""

from __future__ import annotations

from collections.abc import Set

__all__ = ["TargetBook"]


class TargetBook:
    """By uid of the Restream; an entry outlives the object until its last pod has gone."""

    def __init__(self) -> None:
        self._place: dict[str, tuple[str, str]] = {}
        self._uids: dict[tuple[str, str], set[str]] = {}
        self.revision = 0
        """Grows with each change."""

    def note(self, uid: str, namespace: str, digest: str) -> Set[str]:
        """A pusher says what its target is (empty: none that is usable). Returns whom that
        concerns: those with the former and with the new target, when it changed."""
        place = (namespace, digest)
        if self._place.get(uid) == place or (not digest and uid not in self._place):
            return frozenset()
        self.revision += 1
        concerned = self.forget(uid)
        if digest:
            self._place[uid] = place
            self._uids.setdefault(place, set()).add(uid)
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
        self.revision += 1
        self._uids[place].discard(uid)
        if not self._uids[place]:
            del self._uids[place]
            return frozenset()
        return frozenset(self._uids[place])
