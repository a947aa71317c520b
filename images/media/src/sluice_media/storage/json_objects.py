"""Reads the small JSON objects of a store, which one fault of a disk may damage."""

from __future__ import annotations

from typing import TypeVar

import structlog
from pydantic import ValidationError

from sluice_media.contract import Model
from sluice_media.storage.errors import MissingObjectError
from sluice_media.storage.object_store import ObjectStore

M = TypeVar("M", bound=Model)
_log = structlog.get_logger(__name__)


class ObjectDamagedError(ValueError):
    """There is an object, and it cannot be read."""


async def load(storage: ObjectStore, key: str, model: type[M]) -> M | None:
    """One JSON object; None when there is none, or none that can be read. Raises StorageError."""
    try:
        return await load_whole(storage, key, model)
    except ObjectDamagedError:
        return None


async def load_whole(storage: ObjectStore, key: str, model: type[M]) -> M | None:
    """One JSON object; None when there is none. Raises ObjectDamagedError and StorageError."""
    try:
        return model.model_validate_json(await storage.get(key))
    except MissingObjectError:
        return None
    except ValidationError as broken:
        _log.error("object_not_usable", key=key, errors=broken.error_count())
        raise ObjectDamagedError(key) from broken
