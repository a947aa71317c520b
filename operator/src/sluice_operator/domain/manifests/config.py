"""A role's configuration as a ConfigMap, and the digest by which its pod echoes it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

from pydantic import ValidationError

from sluice_media.contract import CONFIG_FILE, PodConfig
from sluice_operator.domain.manifests.meta import metadata
from sluice_operator.domain.owner import Owner
from sluice_operator.domain.pod_view import Raw

CONFIG_KEY = PurePosixPath(CONFIG_FILE).name

C = TypeVar("C", bound=PodConfig)


@dataclass(slots=True, frozen=True)
class Configuration:
    manifest: dict[str, Any]
    """The ConfigMap."""
    hash: str
    """What the pod echoes once it works with it."""


def configuration(owner: Owner, config: PodConfig) -> Configuration:
    """The ConfigMap of the object's pod; ``config.hash`` is filled in."""
    digest = hashlib.sha256(config.to_json().encode()).hexdigest()[:16]
    document = config.model_copy(update={"hash": digest}).to_json()
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(owner, owner.workload_name),
        "data": {CONFIG_KEY: document},
    }
    return Configuration(manifest, digest)


def stored_config(model: type[C], config_map: Raw | None) -> C | None:
    """Read the configuration from the ConfigMap. None: it was never made, or it was made by
    somebody else and cannot be read; it is then made anew."""
    try:
        return model.model_validate_json((config_map or {})["data"][CONFIG_KEY])
    except (KeyError, ValidationError):
        return None
