"""What the store is known to hold, on the recorder's own disk: a recorder whose process starts
again can go on from it while the store does not answer.

In: the journals that the store gave, and each segment that it took since. Out: an ObjectStore that
holds the same journals under the same keys. It may know less than the store (another attempt
may have recorded elsewhere), never more: then content is stored twice, which merging undoes, and
who is in charge is decided by the fence once the store answers.
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
    """``folder`` belongs to it. What cannot be written is given up as a whole: without a ledger a
    recorder waits for the store."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        self._complete = folder / "complete"
        self._is_kept = self.is_usable

    @property
    def is_usable(self) -> bool:
        return self._complete.exists()

    def storage(self) -> ObjectStore:
        """Raises StorageError."""
        return open_volume(self._folder)

    def learn(self, journals: Iterable[Journal]) -> None:
        """Takes what the store holds instead of what was known."""
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
        """A segment of this attempt's journal is in the store."""
        if not self._is_kept:
            return
        try:
            self._write(journal_segment_key(self._prefix, attempt, number), segment)
        except OSError as error:
            self._give_up(error)

    def forget(self) -> None:
        """Another attempt records, or the store knows better."""
        self._is_kept = False
        # On a disk that cannot be written it stays, and still tells nothing that is not so.
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
