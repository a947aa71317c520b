"""Reading of a store's small JSON objects, which a disk fault may damage."""

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
    """The object exists, but cannot be parsed."""


async def load(storage: ObjectStore, key: str, model: type[M]) -> M | None:
    """Return a JSON object; None when it is missing or cannot be parsed. Raises StorageError."""
    try:
        return await load_whole(storage, key, model)
    except ObjectDamagedError:
        return None


async def load_whole(storage: ObjectStore, key: str, model: type[M]) -> M | None:
    """Return a JSON object; None when it does not exist. Raises ObjectDamagedError and
    StorageError."""
    try:
        return model.model_validate_json(await storage.get(key))
    except MissingObjectError:
        return None
    except ValidationError as broken:
        _log.error("object_not_usable", key=key, errors=broken.error_count())
        raise ObjectDamagedError(key) from broken
