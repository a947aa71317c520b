"""Reads the small JSON objects of a store, which one fault of a disk may damage."""

from __future__ import annotations

from typing import TypeVar

import structlog
from pydantic import ValidationError

from sluice_media.contract import Model
from sluice_media.store.target import MissingObjectError, Target

__all__ = ["load"]

M = TypeVar("M", bound=Model)
_log = structlog.get_logger(__name__)


async def load(target: Target, key: str, model: type[M]) -> M | None:
    """One JSON object; None when there is none, or none that can be read. Raises TargetError."""
    try:
        return model.model_validate_json(await target.get(key))
    except MissingObjectError:
        return None
    except ValidationError as broken:
        _log.error("object_not_usable", key=key, errors=broken.error_count())
        return None
