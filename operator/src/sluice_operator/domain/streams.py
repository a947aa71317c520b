"""What a Recording or a Restream makes of the LiveStream that it refers to."""

from __future__ import annotations

from sluice_media.contract import StreamRef
from sluice_operator.api.v1alpha1 import LiveStreamSpec
from sluice_operator.api.v1alpha1.common import Workload
from sluice_operator.domain.manifests.service import hub_host
from sluice_operator.domain.observed import DomainSettings
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.specs import read_spec


def is_there(stream: Raw | None) -> bool:
    """Whether the stream exists and is not about to vanish."""
    return stream is not None and "deletionTimestamp" not in stream["metadata"]


def stream_spec(stream: Raw) -> LiveStreamSpec:
    """Raises InvalidSpecError."""
    return read_spec(LiveStreamSpec, stream)


def stream_ref(stream: Raw, settings: DomainSettings) -> StreamRef:
    """Where a reader finds the stream's hub, and what it must know of the stream."""
    metadata, spec = stream["metadata"], stream_spec(stream)
    return StreamRef(
        name=metadata["name"],
        uid=metadata["uid"],
        title=spec.title,
        host=hub_host(metadata["name"], metadata["namespace"], settings.cluster_domain),
        resume_window_seconds=spec.resume_window_seconds,
    )


def stream_workload(stream: Raw | None) -> Workload | None:
    """Where the stream's pods shall run; its recorders and pushers follow it."""
    return None if stream is None else stream_spec(stream).workload
