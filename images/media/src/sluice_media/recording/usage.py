"""The usage of a store, which its pod publishes for recorders in ``usage.json``.

Recorders cannot list a store every minute, and the operator may be away. So the store's pod writes
its count into the store itself, which all recorders can read.
"""

from __future__ import annotations

from datetime import datetime

from sluice_media.contract import Model
from sluice_media.recording.keys import usage_key
from sluice_media.storage.errors import MissingObjectError
from sluice_media.storage.object_store import ObjectStore


class StoreUsage(Model):
    """Content of ``usage.json``."""

    used_bytes: int
    """Size of all objects below the store's prefix."""
    limit_bytes: int | None = None
    """Maximum of ``used_bytes``, from the MediaStore's limit or the volume's free space, whichever
    is lower; None: no limit is known."""
    observed_at: datetime
    exceeded: bool
    """True when recorders must stop."""


async def read_usage(storage: ObjectStore) -> StoreUsage | None:
    """Return the usage; None when no store pod has counted yet, or it cannot be parsed.

    Raises StorageError."""
    try:
        return StoreUsage.model_validate_json(await storage.get(usage_key()))
    except (MissingObjectError, ValueError):
        return None


async def write_usage(storage: ObjectStore, usage: StoreUsage) -> None:
    """Write the usage. Raises StorageError."""
    await storage.put(usage_key(), usage.to_json().encode())
