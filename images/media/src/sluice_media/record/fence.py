"""Keeps two recorders of one Recording apart: the newer attempt records, the older one lets go.

Every attempt writes below a folder of its own, so that two of them never harm each other's bytes;
what must be decided is who says that the Recording is over. Attempts are ordered by the moment
they began, which each attempt sets behind those that it found: the newest one is in charge. The
other stands by until the Recording is over, because the newer one may be on the node that is lost.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from sluice_media.recording.journals import load_journal
from sluice_media.recording.keys import done_key, is_id
from sluice_media.storage.errors import MissingObjectError
from sluice_media.storage.object_store import ObjectStore

FENCE_SECONDS = 15.0
"""How often it is looked for newer attempts, and at least a sign of life is written."""
STANDBY_SECONDS = 5.0
"""How often an attempt that stands by looks what the other one does."""
SILENT_SECONDS = 45.0
"""An attempt that wrote nothing for so long is gone. The hub's ring reaches back further."""


class Verdict(Enum):
    IN_CHARGE = "InCharge"
    SUPERSEDED = "Superseded"
    """A newer attempt records: take nothing more."""
    DONE = "Done"
    """Another attempt has finished the Recording."""


def begin_behind(now: datetime, others: list[datetime]) -> datetime:
    """The moment at which a new attempt began: behind all others, whatever the clocks say."""
    return max([now, *(other + timedelta(milliseconds=1) for other in others)])


class Fence:
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
        """Who is in charge. Raises StorageError."""
        try:
            await self._storage.size(done_key(self._prefix))
        except MissingObjectError:
            return await self._look_for_newer()
        return Verdict.DONE

    async def sign_of_life(self) -> tuple[str, datetime | None] | None:
        """What the newer attempt wrote last: it changes as long as that is alive. Raises
        StorageError."""
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
                continue  # its chunk came before its journal; it is asked again
            if (journal.started_at, attempt) > self._own:
                self._newest = attempt
                return Verdict.SUPERSEDED
            self._older.add(attempt)
        return Verdict.IN_CHARGE
