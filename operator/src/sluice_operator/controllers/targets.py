"""Index of Restreams by target. It finds the Restreams that push to one target.

In: the digest of the target that a pusher reports. Out: the other Restreams of the namespace with
this digest. With an index, fifty Restreams of one stream cost fifty lookups and not 2,500. Digests
are kept in memory only. After a start of the operator they come with the first answers of the
pushers.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Set

TargetKey = tuple[str, str]
"""(namespace, digest of a target)."""

_REVISIONS = 10_000


class TargetIndex:
    """Targets by uid of the Restream. An entry stays until the last pod of the Restream is gone."""

    def __init__(self) -> None:
        self._key: dict[str, TargetKey] = {}
        self._uids: dict[TargetKey, set[str]] = {}
        self._serial = itertools.count(1)
        self._revisions: OrderedDict[TargetKey, int] = OrderedDict()

    def revision(self, target: TargetKey) -> int:
        """Return a number that changes with each change that concerns the target."""
        return self._revisions.get(target, 0)

    def touch(self, target: TargetKey) -> None:
        """Give the target a new revision."""
        self._revisions[target] = next(self._serial)
        self._revisions.move_to_end(target)
        if len(self._revisions) > _REVISIONS:
            self._revisions.popitem(last=False)

    def note(self, uid: str, namespace: str, digest: str) -> Set[str]:
        """Store the digest that a pusher reports; empty means that it has no usable target.

        Return the uids of the other Restreams with the former or the new target, if it changed."""
        target = (namespace, digest)
        if self._key.get(uid) == target or (not digest and uid not in self._key):
            return frozenset()
        concerned = self.forget(uid)
        if digest:
            self._key[uid] = target
            self._uids.setdefault(target, set()).add(uid)
            self.touch(target)
        return concerned | self.others(uid)

    def __contains__(self, uid: str) -> bool:
        return uid in self._key

    def others(self, uid: str) -> Set[str]:
        """Return the uids of the other Restreams with the target of this one."""
        target = self._key.get(uid)
        return frozenset(self._uids[target] - {uid}) if target is not None else frozenset()

    def forget(self, uid: str) -> Set[str]:
        """Remove a Restream that pushes no more; return the other Restreams with its target."""
        target = self._key.pop(uid, None)
        if target is None:
            return frozenset()
        self.touch(target)
        self._uids[target].discard(uid)
        if not self._uids[target]:
            del self._uids[target]
            return frozenset()
        return frozenset(self._uids[target])
