"""What the store pod says of a recording: from its folder, what was told, and what was deleted."""

from __future__ import annotations

from sluice_media.contract import MAX_LISTED_GAPS, StoredResult
from sluice_media.recording import keys
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store.catalog import load_request, load_settled, load_view
from sluice_media.store.deletion import load_deletion
from sluice_media.store.retention import published


async def load_result(storage: ObjectStore, uid: str) -> StoredResult:
    """Raises StorageError."""
    deletion = await load_deletion(storage, uid)
    if deletion is not None:
        return deletion.result()
    settled = await load_settled(storage, uid)
    if settled is not None:
        return published(settled, await load_request(storage, uid))
    view = await load_view(storage, uid)
    result = view.result()
    if result.state == "Done" and (view.head is not None or view.journals):
        # It is not known yet which chunks are in no MP4: that is the last step.
        result = result.model_copy(update={"state": "Finalizing"})
    return published(result, view.request)


def page_of(result: StoredResult, limit: int, before: int | None) -> StoredResult:
    """The newest ``limit`` files below the index ``before``, each with its first gaps."""
    files = [file for file in result.files if before is None or file.index < before]
    older = max(0, len(files) - limit)
    page = [f.model_copy(update={"gaps": f.gaps[:MAX_LISTED_GAPS]}) for f in files[older:]]
    return result.model_copy(update={"files": page, "older_files": older})


async def prefix_of(storage: ObjectStore, uid: str) -> str:
    """Where its objects are. Raises StorageError."""
    request = await load_request(storage, uid)
    return request.prefix if request is not None else f"{keys.RECORDINGS}/{uid}"
