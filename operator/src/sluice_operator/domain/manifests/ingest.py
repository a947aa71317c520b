"""The ingest pod of a LiveStream: its hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sluice_media.contract import HUB_PORT, IngestConfig, RingPin
from sluice_operator.api.v1alpha1 import LiveStreamSpec
from sluice_operator.domain.manifests.keys import own_token, publisher_key
from sluice_operator.domain.manifests.pod import PodShape, pod_template
from sluice_operator.domain.observed import DomainSettings
from sluice_operator.domain.owner import Owner

__all__ = ["ingest_config", "ingest_template"]

_GRACE_SECONDS = 15


def ingest_config(
    owner: Owner, spec: LiveStreamSpec, pins: Sequence[RingPin], *, drain: bool
) -> IngestConfig:
    return IngestConfig(
        namespace=owner.namespace,
        name=owner.name,
        uid=owner.uid,
        generation=owner.generation,
        active=spec.active,
        title=spec.title,
        protocols=[str(protocol) for protocol in spec.source.push.protocols],
        stall_milliseconds=spec.failover.stall_milliseconds,
        resume_window_seconds=spec.resume_window_seconds,
        pins=list(pins),
        drain=drain,
    )


def ingest_template(owner: Owner, spec: LiveStreamSpec, settings: DomainSettings) -> dict[str, Any]:
    shape = PodShape(
        keys=(publisher_key(owner), own_token(owner)),
        ports=(("hub", HUB_PORT),),
        grace_seconds=_GRACE_SECONDS,
        workload=spec.workload,
        own_resources=True,
    )
    return pod_template(owner, settings, shape)
