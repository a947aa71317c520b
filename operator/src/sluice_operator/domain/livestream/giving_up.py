"""The record that the sources of a pulled stream were given up. It outlives ingest pods.

An ingest pod gives up by itself, and reports the request that it worked on: the generation of the
spec and the restart annotation. The operator keeps that in the stream's status and writes it into
the configuration of every later pod, until one of the two changes.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sluice_media.contract import GivenUp, IngestStatus
from sluice_operator.domain.names import RESTART_ANNOTATION
from sluice_operator.domain.owner import Owner, Stored

_DIGEST_CHARS = 8


def restart_token(owner: Owner) -> str:
    """Return a short digest of the restart annotation, because the status shows it; empty when
    there is no annotation."""
    asked = owner.annotations.get(RESTART_ANNOTATION, "")
    return hashlib.sha256(asked.encode()).hexdigest()[:_DIGEST_CHARS] if asked else ""


def given_up(stored: Stored, owner: Owner, status: IngestStatus | None) -> GivenUp | None:
    """Return the present request if its sources were given up; None when they are tried.

    ``status`` is the pod's answer, if there is one. A pod that started just before the
    configuration changed may still try its sources. These tries count only if a source delivers
    media.
    """
    asked = GivenUp(generation=owner.generation, restart=restart_token(owner))
    pull = status.pull if status is not None else None
    if pull is not None and pull.delivers:
        return None
    if pull is not None and pull.given_up == asked:
        return asked
    known = (stored.get("pull") or {}).get("givenUp")
    return asked if known is not None and GivenUp.model_validate(known) == asked else None


def with_given_up(pull: dict[str, Any] | None, found: GivenUp | None) -> dict[str, Any] | None:
    """Return ``status.pull`` with ``givenUp`` set to ``found``."""
    if found is None and pull is None:
        return None
    others = {key: value for key, value in (pull or {}).items() if key != "givenUp"}
    if found is None:
        return others
    return others | {"givenUp": found.model_dump(by_alias=True, exclude_defaults=True)}
