"""The recorder's list of the journals in the store, on its own disk.

With it, a recorder that restarts can continue while the store does not answer. In: the journals
read from the store, and each segment stored since. Out: an ObjectStore with the same journals
under the same keys. The ledger may lack journals that another attempt wrote elsewhere, but it never
has more than the store. In that case content is stored twice, which the merge removes, and the
fence decides which attempt is in charge once the store answers.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

import structlog

from sluice_media.recording.journal import Journal, sealed
from sluice_media.recording.keys import journal_key, journal_segment_key
from sluice_media.storage.object_store import ObjectStore, open_volume

_log = structlog.get_logger(__name__)


class Ledger:
    """The journals in ``folder``, which the ledger owns. A failed write discards the whole ledger:
    without it, a recorder waits for the store."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        self._complete = folder / "complete"
        self._is_kept = self.is_usable

    @property
    def is_usable(self) -> bool:
        return self._complete.exists()

    def storage(self) -> ObjectStore:
        """Return a storage with the ledger's journals. Raises StorageError."""
        return open_volume(self._folder)

    def learn(self, journals: Iterable[Journal]) -> None:
        """Replace the ledger by the journals in the store."""
        self.forget()
        try:
            for journal in journals:
                self._write(journal_key(self._prefix, journal.attempt), sealed(journal))
            self._folder.mkdir(parents=True, exist_ok=True)
            self._complete.touch()
            self._is_kept = True
        except OSError as error:
            self._give_up(error)

    def note(self, attempt: str, number: int, segment: bytes) -> None:
        """Add a segment of this attempt's journal that was stored."""
        if not self._is_kept:
            return
        try:
            self._write(journal_segment_key(self._prefix, attempt, number), segment)
        except OSError as error:
            self._give_up(error)

    def forget(self) -> None:
        """Discard the ledger, because another attempt records or the store has newer journals."""
        self._is_kept = False
        # On a disk that cannot be written the files stay; they are never ahead of the store.
        with contextlib.suppress(OSError):
            self._complete.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, key: str, data: bytes) -> None:
        place = self._folder / key
        fresh = place.with_suffix(".new")
        try:
            fresh.write_bytes(data)
        except FileNotFoundError:
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(data)
        fresh.rename(place)

    def _give_up(self, error: OSError) -> None:
        _log.warning("ledger_not_kept", error=error.strerror)
        self.forget()
