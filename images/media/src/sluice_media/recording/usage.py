"""How full a store is, as its pod tells the recorders: ``usage.json`` beside the recordings.

Recorders cannot list a store every minute, and the operator may be away; so the one pod that
counts leaves the figure where everybody looks anyway.
"""

from __future__ import annotations

from datetime import datetime

from sluice_media.contract import Model
from sluice_media.recording.keys import usage_key
from sluice_media.storage.errors import MissingObjectError
from sluice_media.storage.object_store import ObjectStore


class StoreUsage(Model):
    used_bytes: int
    """Of everything below the store's prefix."""
    limit_bytes: int | None = None
    """What ``used_bytes`` may grow to, by the MediaStore's limit or the room on the volume,
    whichever ends first; None: there is no end that can be seen."""
    observed_at: datetime
    exceeded: bool
    """Nothing may be recorded any more."""


async def read_usage(storage: ObjectStore) -> StoreUsage | None:
    """None when no store pod has counted yet, or what is there cannot be read as such.

    Raises StorageError."""
    try:
        return StoreUsage.model_validate_json(await storage.get(usage_key()))
    except (MissingObjectError, ValueError):
        return None


async def write_usage(storage: ObjectStore, usage: StoreUsage) -> None:
    """Raises StorageError."""
    await storage.put(usage_key(), usage.to_json().encode())
