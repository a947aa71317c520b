"""The LiveStream that a Recording or a Restream refers to, as their decisions use it."""

from __future__ import annotations

from sluice_media.contract import StreamRef
from sluice_operator.api.v1alpha1 import LiveStreamSpec
from sluice_operator.api.v1alpha1.common import Workload
from sluice_operator.domain.manifests.service import hub_host
from sluice_operator.domain.observed import DomainSettings
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.specs import read_spec


def is_there(stream: Raw | None) -> bool:
    """Return whether the stream exists and is not being deleted."""
    return stream is not None and "deletionTimestamp" not in stream["metadata"]


def stream_spec(stream: Raw) -> LiveStreamSpec:
    """Return the stream's spec. Raises InvalidSpecError."""
    return read_spec(LiveStreamSpec, stream)


def stream_ref(stream: Raw, settings: DomainSettings) -> StreamRef:
    """Return the address of the stream's hub, with the fields that readers need."""
    metadata, spec = stream["metadata"], stream_spec(stream)
    return StreamRef(
        name=metadata["name"],
        uid=metadata["uid"],
        title=spec.title,
        host=hub_host(metadata["name"], metadata["namespace"], settings.cluster_domain),
        resume_window_seconds=spec.resume_window_seconds,
    )


def stream_workload(stream: Raw | None) -> Workload | None:
    """Return the placement of the stream's pods, which its recorders and pushers share."""
    return None if stream is None else stream_spec(stream).workload
