"""The names of Recordings that ended in this store.

A Recording whose object was lost with its cluster, and is created again with another uid and
without a status, is recognized by its name. A name is free again once the operator has reported
that the Recording was deleted.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sluice_media.contract import Model, StoredResult
from sluice_media.recording import keys
from sluice_media.recording.journal import RecordingHead
from sluice_media.storage.json_objects import load
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store.catalog import load_finalized, load_request
from sluice_media.store.deletion import load_deletion


class EndedRecording(Model):
    """Content of ``ended/<namespace>/<name>/<uid>.json``."""

    uid: str
    namespace: str
    name: str
    ended_at: datetime


class EndedNames:
    """The stored names of finished Recordings. A Recording without files gets no name."""

    def __init__(self, storage: ObjectStore) -> None:
        self._storage = storage
        self._noted: set[str] | None = None
        """uids whose names are stored; None until they are read."""

    async def note(self, uid: str, result: StoredResult) -> None:
        """Store the name of a finished Recording; may be repeated. Raises StorageError."""
        if self._noted is None:
            found = [entry.key async for entry in self._storage.list(keys.ENDED)]
            self._noted = {key.rpartition("/")[2].removesuffix(".json") for key in found}
        if uid in self._noted or not result.files:
            return
        request = await load_request(self._storage, uid)
        if request is not None and request.deleted:
            return
        prefix = request.prefix if request is not None else f"{keys.RECORDINGS}/{uid}"
        head = await load(self._storage, keys.head_key(prefix), RecordingHead)
        if head is not None and keys.is_id(head.namespace) and keys.is_id(head.name):
            ended = EndedRecording(
                uid=uid, namespace=head.namespace, name=head.name, ended_at=_ended_at(result)
            )
            key = keys.ended_key(head.namespace, head.name, uid)
            await self._storage.put(key, ended.to_json().encode())
        self._noted.add(uid)


def _ended_at(result: StoredResult) -> datetime:
    moments = [file.ended_at for file in result.files if file.ended_at is not None]
    return max(moments, default=datetime.now(UTC))


async def find_ended(storage: ObjectStore, namespace: str, name: str) -> str | None:
    """Return the uid of the latest Recording of this name that ended here and was not deleted.

    Raises StorageError."""
    latest: EndedRecording | None = None
    for key in [entry.key async for entry in storage.list(keys.ended_folder(namespace, name))]:
        ended = await load(storage, key, EndedRecording)
        if ended is None or await load_deletion(storage, ended.uid) is not None:
            continue
        request = await load_request(storage, ended.uid)
        if (request is not None and request.deleted) or await load_finalized(
            storage, ended.uid
        ) is None:
            continue
        if latest is None or ended.ended_at > latest.ended_at:
            latest = ended
    return latest.uid if latest is not None else None
