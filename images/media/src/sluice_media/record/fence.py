"""The fence between two recorders of one Recording: the newer attempt records, the older one stops.

Each attempt writes below its own folder, so that two attempts never overwrite each other's objects.
The fence decides which attempt may declare the Recording over. Attempts are ordered by their start,
which each sets later than all that it found; the newest is in charge. The other attempt stands by
until the Recording is over, because the newer one may be on a lost node.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from sluice_media.recording.journals import load_journal
from sluice_media.recording.keys import done_key, is_id
from sluice_media.storage.errors import MissingObjectError
from sluice_media.storage.object_store import ObjectStore

FENCE_SECONDS = 15.0
"""Interval of the check for newer attempts, and of this attempt's signs of life."""
STANDBY_SECONDS = 5.0
"""Interval at which an attempt on standby checks the other one."""
SILENT_SECONDS = 45.0
"""Time without a sign of life after which an attempt counts as lost. The hub's ring is longer."""


class Verdict(Enum):
    """The fence's decision for an attempt."""

    IN_CHARGE = "InCharge"
    SUPERSEDED = "Superseded"
    """A newer attempt records; this one must stop."""
    DONE = "Done"
    """Another attempt has finished the Recording."""


def begin_behind(now: datetime, others: list[datetime]) -> datetime:
    """Return the start time of a new attempt: ``now``, or later to be behind all others."""
    return max([now, *(other + timedelta(milliseconds=1) for other in others)])


class Fence:
    """The fence of one attempt."""

    def __init__(
        self, storage: ObjectStore, prefix: str, attempt: str, started_at: datetime
    ) -> None:
        self._storage = storage
        self._prefix = prefix
        self._attempt = attempt
        self._own = (started_at, attempt)
        self._older: set[str] = {attempt}
        self._newest: str | None = None

    async def verdict(self) -> Verdict:
        """Return whether this attempt is in charge. Raises StorageError."""
        try:
            await self._storage.size(done_key(self._prefix))
        except MissingObjectError:
            return await self._look_for_newer()
        return Verdict.DONE

    async def sign_of_life(self) -> tuple[str, datetime | None] | None:
        """Return a value that changes while the newer attempt is alive; None when there is none.

        Raises StorageError."""
        if self._newest is None:
            return None
        journal = await load_journal(self._storage, self._prefix, self._newest)
        return None if journal is None else (self._newest, journal.written_at)

    async def _look_for_newer(self) -> Verdict:
        for attempt in await self._storage.folders(self._prefix):
            if attempt in self._older or not is_id(attempt):
                continue
            journal = await load_journal(self._storage, self._prefix, attempt)
            if journal is None:
                continue  # its first chunk came before its journal; check again next time
            if (journal.started_at, attempt) > self._own:
                self._newest = attempt
                return Verdict.SUPERSEDED
            self._older.add(attempt)
        return Verdict.IN_CHARGE
