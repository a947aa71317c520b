"""The pusher of a Restream."""

from __future__ import annotations

from typing import Any

from sluice_media.contract import PusherConfig, StreamRef
from sluice_operator.api.v1alpha1 import RestreamSpec
from sluice_operator.api.v1alpha1.common import Workload
from sluice_operator.domain.manifests.keys import own_token, stream_key, target_uri
from sluice_operator.domain.manifests.pod import PodShape, pod_template
from sluice_operator.domain.names import RESTART_ANNOTATION
from sluice_operator.domain.observed import DomainSettings
from sluice_operator.domain.owner import Owner

__all__ = ["pusher_config", "pusher_template"]


def pusher_config(owner: Owner, spec: RestreamSpec, stream: StreamRef | None) -> PusherConfig:
    return PusherConfig(
        namespace=owner.namespace,
        name=owner.name,
        uid=owner.uid,
        generation=owner.generation,
        stream=stream,
        active=spec.active,
        uri=spec.uri,
        has_stream_key=spec.stream_key_secret_ref is not None,
        restart=owner.annotations.get(RESTART_ANNOTATION, ""),
        retry_min_seconds=spec.retry.min_seconds,
        retry_max_seconds=spec.retry.max_seconds,
        give_up_seconds=spec.retry.give_up_seconds,
    )


def pusher_template(
    owner: Owner, spec: RestreamSpec, settings: DomainSettings, workload: Workload | None
) -> dict[str, Any]:
    keys = [own_token(owner)]
    if spec.uri_secret_ref is not None:
        keys.append(target_uri(spec.uri_secret_ref))
    if spec.stream_key_secret_ref is not None:
        keys.append(stream_key(spec.stream_key_secret_ref))
    return pod_template(owner, settings, PodShape(keys=keys, workload=workload))
