"""When the sources of a pulled stream were given up: a memory that outlives ingest pods.

An ingest pod gives up by itself and says so, with what was asked of it then: the generation of the
spec and the restart annotation. That stands in the stream's status and goes into the configuration
of every later pod, until one of the two changes.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sluice_media.contract import GivenUp, IngestStatus
from sluice_operator.domain.names import RESTART_ANNOTATION
from sluice_operator.domain.owner import Owner, Stored

_DIGEST_CHARS = 8


def restart_token(owner: Owner) -> str:
    """The restart annotation as a short digest, because it comes to stand in a status; empty when
    there is none."""
    asked = owner.annotations.get(RESTART_ANNOTATION, "")
    return hashlib.sha256(asked.encode()).hexdigest()[:_DIGEST_CHARS] if asked else ""


def given_up(stored: Stored, owner: Owner, status: IngestStatus | None) -> GivenUp | None:
    """The giving up of what is asked for at present; None: it is tried, or shall be.

    ``status`` is what the pod says, if it is heard. A pod that started a moment before the
    configuration told it may try; only media proves it right.
    """
    asked = GivenUp(generation=owner.generation, restart=restart_token(owner))
    told = status.pull if status is not None else None
    if told is not None and told.delivers:
        return None
    if told is not None and told.given_up == asked:
        return asked
    known = (stored.get("pull") or {}).get("givenUp")
    return asked if known is not None and GivenUp.model_validate(known) == asked else None


def with_given_up(pull: dict[str, Any] | None, found: GivenUp | None) -> dict[str, Any] | None:
    """``status.pull`` with the memory in it."""
    if found is None and pull is None:
        return None
    others = {key: value for key, value in (pull or {}).items() if key != "givenUp"}
    if found is None:
        return others
    return others | {"givenUp": found.model_dump(by_alias=True, exclude_defaults=True)}
