"""A role's configuration as a ConfigMap, with the digest that its pod echoes."""

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
    """A rendered configuration."""

    manifest: dict[str, Any]
    """The ConfigMap."""
    hash: str
    """Digest that the pod echoes once it works with this configuration."""


def configuration(owner: Owner, config: PodConfig) -> Configuration:
    """Render the ConfigMap of the object's pod, with ``config.hash`` filled in."""
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
    """Read the configuration from the ConfigMap; None when there is none, or when it cannot be read
    because Sluice did not write it."""
    try:
        return model.model_validate_json((config_map or {})["data"][CONFIG_KEY])
    except (KeyError, ValidationError):
        return None
