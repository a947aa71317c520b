"""The recorder of a Recording: its configuration, and its Job. A recorder is a Job because it
ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice_media.contract import BucketLocation, DesiredState, RecorderConfig, Retention, StreamRef
from sluice_operator.api.v1alpha1 import RecordingSpec
from sluice_operator.api.v1alpha1.common import Workload
from sluice_operator.domain.manifests.keys import own_token
from sluice_operator.domain.manifests.meta import metadata
from sluice_operator.domain.manifests.place import StorePlace
from sluice_operator.domain.manifests.pod import PodShape, pod_template
from sluice_operator.domain.observed import DomainSettings
from sluice_operator.domain.owner import Owner

_GRACE_SECONDS = 30
"""A recorder flushes within 20 s of SIGTERM."""
_UNLIMITED_RETRIES = 2_147_483_647


def recording_prefix(uid: str) -> str:
    """Return the folder of a Recording in the store. It contains the uid, never a title."""
    return f"recordings/{uid}"


@dataclass(slots=True, frozen=True)
class RecorderOrders:
    """The values of a recorder's configuration that are not in the spec."""

    stream: StreamRef | None
    stopped: bool
    keep_all: bool
    """Keep media of any length, because the Recording is deleted, not stopped."""
    session_started_at: datetime | None
    s3: BucketLocation | None
    uri_base: str
    spool_limit_bytes: int


def retention_of(spec: RecordingSpec) -> Retention:
    return Retention(
        retention_seconds=spec.retention.seconds,
        keep_original=spec.retention.keep_original,
        original_seconds=spec.retention.original_seconds,
    )


def recorder_config(owner: Owner, spec: RecordingSpec, orders: RecorderOrders) -> RecorderConfig:
    return RecorderConfig(
        namespace=owner.namespace,
        name=owner.name,
        uid=owner.uid,
        generation=owner.generation,
        stream=orders.stream,
        desired_state=DesiredState.STOPPED if orders.stopped else DesiredState.RECORDING,
        created_at=owner.created_at,
        prefix=recording_prefix(owner.uid),
        minimum_seconds=0 if orders.keep_all else spec.minimum_seconds,
        rearm_seconds=spec.rearm_seconds,
        split_seconds=spec.split_seconds,
        max_duration_seconds=spec.max_duration_seconds,
        session_started_at=orders.session_started_at,
        retention=retention_of(spec),
        s3=orders.s3,
        uri_base=orders.uri_base,
        spool_limit_bytes=orders.spool_limit_bytes,
    )


def recorder_job(
    owner: Owner, settings: DomainSettings, place: StorePlace, workload: Workload | None
) -> dict[str, Any]:
    """Return the Job, which is created once and never applied again.

    With ``podReplacementPolicy: Failed`` a pod on a lost node would never be replaced. The
    Recording's end is read from the journal, so the Job may retry without limit."""
    shape = PodShape(
        keys=(own_token(owner), *place.keys),
        claim=place.claim,
        spool_bytes=settings.recorder_spool_bytes,
        service_account=place.service_account,
        grace_seconds=_GRACE_SECONDS,
        restart_policy="OnFailure",
        workload=workload,
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(owner, owner.workload_name),
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": _UNLIMITED_RETRIES,
            "podReplacementPolicy": "TerminatingOrFailed",
            "template": pod_template(owner, settings, shape),
        },
    }
