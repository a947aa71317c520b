"""The published result of a recording, from its objects, its request and its deletion."""

from __future__ import annotations

from sluice_media.contract import MAX_LISTED_GAPS, ResultState, StoredResult
from sluice_media.recording import keys
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store.catalog import load_finalized, load_request, load_view
from sluice_media.store.deletion import load_deletion
from sluice_media.store.retention import published


async def load_result(storage: ObjectStore, uid: str) -> StoredResult:
    """Return the published result of a recording. Raises StorageError."""
    deletion = await load_deletion(storage, uid)
    if deletion is not None:
        return deletion.result()
    finalized = await load_finalized(storage, uid)
    if finalized is not None:
        return published(finalized, await load_request(storage, uid))
    view = await load_view(storage, uid)
    result = view.result()
    if result.state == ResultState.DONE and (view.head is not None or view.journals):
        # The last step is still to come: it finds the chunks that are in no MP4.
        result = result.model_copy(update={"state": ResultState.FINALIZING})
    return published(result, view.request)


def page_of(result: StoredResult, limit: int, before: int | None) -> StoredResult:
    """Return the newest ``limit`` files below the index ``before``, each with its first gaps."""
    files = [file for file in result.files if before is None or file.index < before]
    older = max(0, len(files) - limit)
    page = [f.model_copy(update={"gaps": f.gaps[:MAX_LISTED_GAPS]}) for f in files[older:]]
    return result.model_copy(update={"files": page, "older_files": older})


async def prefix_of(storage: ObjectStore, uid: str) -> str:
    """Return the prefix of a recording's objects. Raises StorageError."""
    request = await load_request(storage, uid)
    return request.prefix if request is not None else f"{keys.RECORDINGS}/{uid}"
