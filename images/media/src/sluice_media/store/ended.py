"""Which names Recordings had that ended here: by them a Recording is known again whose object was
lost with its cluster and is made anew, with another uid and without a status.

A name is free again once the store was told that the Recording was deleted.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sluice_media.contract import Model, StoredResult
from sluice_media.recording import keys
from sluice_media.recording.journal import RecordingHead
from sluice_media.storage.json_objects import load
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store.catalog import load_request, load_settled
from sluice_media.store.deletion import load_deletion


class EndedRecording(Model):
    """``ended/<namespace>/<name>/<uid>.json``"""

    uid: str
    namespace: str
    name: str
    ended_at: datetime


class EndedNames:
    """Writes down the name of each Recording that is finished for good, once. Of one that recorded
    nothing there is nothing to be known again."""

    def __init__(self, storage: ObjectStore) -> None:
        self._storage = storage
        self._noted: set[str] | None = None
        """uids whose names are written down; None: not looked up yet."""

    async def note(self, uid: str, result: StoredResult) -> None:
        """Repeatable. Raises StorageError."""
        if self._noted is None:
            found = [entry.key async for entry in self._storage.list(keys.ENDED)]
            self._noted = {key.rpartition("/")[2].removesuffix(".json") for key in found}
        if uid in self._noted or not result.files:
            return
        told = await load_request(self._storage, uid)
        if told is not None and told.deleted:
            return
        prefix = told.prefix if told is not None else f"{keys.RECORDINGS}/{uid}"
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
    """The uid of the latest Recording of this name that ended here and is not known to be deleted.

    Raises StorageError."""
    latest: EndedRecording | None = None
    for key in [entry.key async for entry in storage.list(keys.ended_folder(namespace, name))]:
        ended = await load(storage, key, EndedRecording)
        if ended is None or await load_deletion(storage, ended.uid) is not None:
            continue
        told = await load_request(storage, ended.uid)
        if (told is not None and told.deleted) or await load_settled(storage, ended.uid) is None:
            continue
        if latest is None or ended.ended_at > latest.ended_at:
            latest = ended
    return latest.uid if latest is not None else None
