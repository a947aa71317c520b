"""The recorder of a Recording: a Job, because it has an end."""

from __future__ import annotations

from typing import Any

from sluice_media.contract import DesiredState, RecorderConfig, StreamRef
from sluice_operator.api.v1alpha1 import RecordingSpec
from sluice_operator.api.v1alpha1.common import Workload
from sluice_operator.domain.manifests.keys import own_token
from sluice_operator.domain.manifests.meta import metadata
from sluice_operator.domain.manifests.pod import PodShape, pod_template
from sluice_operator.domain.observed import DomainSettings
from sluice_operator.domain.owner import Owner

__all__ = ["recorder_config", "recorder_job", "recording_prefix"]

_GRACE_SECONDS = 30
"""A recorder flushes within 20 s of SIGTERM."""
_ALWAYS_AGAIN = 2_147_483_647


def recording_prefix(owner: Owner) -> str:
    """Where in the store a Recording lives: made of ids only, never of titles."""
    return f"recordings/{owner.uid}"


def recorder_config(
    owner: Owner, spec: RecordingSpec, stream: StreamRef | None, *, stopped: bool, keep_all: bool
) -> RecorderConfig:
    """``keep_all``: nothing is too short to be kept (the Recording is deleted, not stopped)."""
    return RecorderConfig(
        namespace=owner.namespace,
        name=owner.name,
        uid=owner.uid,
        generation=owner.generation,
        stream=stream,
        desired_state=DesiredState.STOPPED if stopped else DesiredState.RECORDING,
        created_at=owner.created_at,
        prefix=recording_prefix(owner),
        minimum_seconds=0 if keep_all else spec.minimum_seconds,
        rearm_seconds=spec.rearm_seconds,
    )


def recorder_job(
    owner: Owner, settings: DomainSettings, claim: str, workload: Workload | None
) -> dict[str, Any]:
    """Applied once, never again.

    ``TerminatingOrFailed``: with ``Failed`` the Job of a lost node never gets a replacement. The
    end is read from the journal, so the Job itself may try for ever."""
    shape = PodShape(
        keys=(own_token(owner),),
        claim=claim,
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
            "backoffLimit": _ALWAYS_AGAIN,
            "podReplacementPolicy": "TerminatingOrFailed",
            "template": pod_template(owner, settings, shape),
        },
    }
