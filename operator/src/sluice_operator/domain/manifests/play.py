"""The play pods of a LiveStream: their configuration and their pod template."""

from __future__ import annotations

from typing import Any

from sluice_media.contract import PLAY_PORT, PlayConfig, StreamRef
from sluice_operator.api.v1alpha1 import LiveStreamSpec
from sluice_operator.api.v1alpha1.common import Workload
from sluice_operator.api.v1alpha1.playback import Playback
from sluice_operator.domain.manifests.keys import edge_key, own_token, playback_keys
from sluice_operator.domain.manifests.pod import PodShape, pod_template, spool_room
from sluice_operator.domain.manifests.service import hub_host, play_host
from sluice_operator.domain.observed import DomainSettings
from sluice_operator.domain.owner import Owner

_GRACE_SECONDS = 20
"""Time in which a pod that ends still answers the requests that have reached it."""
_WINDOW_BYTES_PER_SECOND = 1_000_000
"""Disk space for a second of the window: a stream of 8 Mbit/s. Segments are stored once; HLS with
MPEG-TS is made of them on request."""
_LIVE_WINDOW_SECONDS = 60
"""Window without DVR, at most: the content of the hub's ring."""


def play_config(
    owner: Owner, spec: LiveStreamSpec, playback: Playback, settings: DomainSettings
) -> PlayConfig:
    domain, edge = settings.cluster_domain, settings.edge
    stream = StreamRef(
        name=owner.name,
        uid=owner.uid,
        title=spec.title,
        host=hub_host(owner.name, owner.namespace, domain),
        resume_window_seconds=spec.resume_window_seconds,
    )
    path = f"{owner.namespace}/{owner.name}"
    return PlayConfig(
        namespace=owner.namespace,
        name=owner.name,
        uid=owner.uid,
        generation=owner.generation,
        stream=stream,
        siblings=play_host(owner.name, owner.namespace, domain) if playback.replicas > 1 else "",
        dvr_seconds=playback.dvr_seconds,
        spool_limit_bytes=spool_room(owner.role, settings, _shape(owner, spec, playback, settings)),
        hls=playback.hls.enabled,
        hls_end_list=playback.hls.end_list,
        dash=playback.dash.enabled,
        dash_end_list=playback.dash.end_list,
        hls_mpegts=playback.hls_mpegts.enabled,
        hls_mpegts_end_list=playback.hls_mpegts.end_list,
        signed=playback.access == "Signed",
        screenshot_seconds=playback.screenshot.interval_seconds,
        keep_last_screenshot=playback.screenshot.keep_last,
        projection=playback.projection,
        edge_url=f"http://{edge.host}:{edge.port}/{path}" if edge is not None else "",
    )


def play_template(
    owner: Owner, spec: LiveStreamSpec, playback: Playback, settings: DomainSettings
) -> dict[str, Any]:
    """Return the template. It does not depend on the number of replicas, so that this number can be
    changed on air."""
    return pod_template(owner, settings, _shape(owner, spec, playback, settings))


def _shape(
    owner: Owner, spec: LiveStreamSpec, playback: Playback, settings: DomainSettings
) -> PodShape:
    keys = [own_token(owner), *playback_keys(owner)]
    if settings.edge is not None:
        keys.append(edge_key(owner))
    window_seconds = _LIVE_WINDOW_SECONDS + playback.dvr_seconds
    return PodShape(
        keys=keys,
        ports=(("play", PLAY_PORT),),
        spool_bytes=window_seconds * _WINDOW_BYTES_PER_SECOND,
        # The window follows dvrSeconds with the next session, the template with the next pod.
        spool_capped=False,
        grace_seconds=_GRACE_SECONDS,
        workload=_workload(spec, playback),
        own_resources=True,
        spread=True,
    )


def _workload(spec: LiveStreamSpec, playback: Playback) -> Workload:
    """Return the placement of the stream's pods, with the fields that playback sets itself."""
    common = spec.workload.model_dump(exclude_none=True) if spec.workload is not None else {}
    common.pop("resources", None)
    own = playback.workload.model_dump(exclude_none=True) if playback.workload is not None else {}
    return Workload.model_validate(common | own)
