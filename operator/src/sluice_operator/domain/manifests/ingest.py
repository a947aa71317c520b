"""The ingest pod of a LiveStream, which runs its hub: configuration and pod template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sluice_media.contract import (
    HUB_PORT,
    PULL_CA_DIR,
    PULL_DIR,
    SRT_PASSPHRASE_FILE,
    IngestConfig,
    PullConfig,
    RingPin,
)
from sluice_operator.api.v1alpha1 import LiveStreamSpec
from sluice_operator.api.v1alpha1.common import SecretKeyRef
from sluice_operator.api.v1alpha1.playback import Playback
from sluice_operator.api.v1alpha1.source import Pull
from sluice_operator.domain.livestream.auto_recording import RecordedSessions
from sluice_operator.domain.livestream.giving_up import restart_token
from sluice_operator.domain.manifests.guard import address_guard
from sluice_operator.domain.manifests.keys import (
    own_token,
    publisher_keys,
    users_key,
)
from sluice_operator.domain.manifests.pod import KeyMount, PodShape, pod_template
from sluice_operator.domain.observed import DomainSettings
from sluice_operator.domain.owner import Owner

_GRACE_SECONDS = 15
_BRIDGE_BYTES = 1 << 30


def ingest_config(
    owner: Owner,
    spec: LiveStreamSpec,
    settings: DomainSettings,
    pins: Sequence[RingPin],
    *,
    recorded: RecordedSessions,
    given_up: bool,
    drain: bool,
) -> IngestConfig:
    push, pull = spec.source.push, spec.source.pull
    srt = push.srt if push is not None else None
    return IngestConfig(
        namespace=owner.namespace,
        name=owner.name,
        uid=owner.uid,
        generation=owner.generation,
        active=spec.active,
        title=spec.title,
        protocols=list(push.protocols) if push is not None else [],
        backup=push is not None and push.backup.enabled,
        failback=spec.failover.failback,
        failback_seconds=spec.failover.failback_seconds,
        srt_latency_milliseconds=srt.latency_milliseconds if srt is not None else None,
        srt_passphrase=srt is not None and srt.passphrase_secret_ref is not None,
        pull=_pull_config(owner, pull, settings, given_up=given_up) if pull is not None else None,
        stall_milliseconds=spec.failover.stall_milliseconds,
        resume_window_seconds=spec.resume_window_seconds,
        pins=list(pins),
        auto_record=spec.auto_record,
        auto_recorded_until=recorded.until,
        auto_recorded=list(recorded.later),
        spool_limit_bytes=_spool_limit(spec, settings),
        segment_seconds=(spec.playback or Playback()).segment_seconds,
        drain=drain,
    )


def with_mounted_keys(wanted: IngestConfig, mounted: IngestConfig | None) -> IngestConfig:
    """Return ``wanted`` with the passphrase and the sources of ``mounted``. The running pod mounts
    the keys for those; it gets the keys for ``wanted`` only when it is replaced."""
    if mounted is None:
        return wanted
    pull = wanted.pull
    if pull is not None and mounted.pull is not None:
        sources = {"uris": mounted.pull.uris, "with_ca": mounted.pull.with_ca}
        pull = pull.model_copy(update=sources)
    return wanted.model_copy(update={"srt_passphrase": mounted.srt_passphrase, "pull": pull})


def _spool_limit(spec: LiveStreamSpec, settings: DomainSettings) -> int:
    """Return the limit of the spool in bytes. Without autoRecord, the spool only bridges the
    absence of a recorder, and the pod requests no disk space."""
    if spec.auto_record:
        return settings.ingest_spool_bytes
    return min(settings.ingest_spool_bytes, _BRIDGE_BYTES)


def _pull_config(
    owner: Owner, pull: Pull, settings: DomainSettings, *, given_up: bool
) -> PullConfig:
    return PullConfig(
        uris=[source.uri for source in pull.uris],
        with_ca=[n for n, source in enumerate(pull.uris) if source.ca_secret_ref is not None],
        stall_seconds=pull.stall_seconds,
        retry_seconds=pull.retry_seconds,
        inactivity_seconds=pull.inactivity_seconds,
        restart=restart_token(owner),
        given_up=given_up,
        standby=pull.standby,
        guard=address_guard(settings),
    )


def ingest_template(owner: Owner, spec: LiveStreamSpec, settings: DomainSettings) -> dict[str, Any]:
    shape = PodShape(
        keys=_keys(owner, spec),
        ports=(("hub", HUB_PORT),),
        spool_bytes=settings.ingest_spool_bytes if spec.auto_record else None,
        spool_capped=False,
        grace_seconds=_GRACE_SECONDS,
        workload=spec.workload,
        own_resources=True,
    )
    return pod_template(owner, settings, shape)


def _keys(owner: Owner, spec: LiveStreamSpec) -> tuple[KeyMount, ...]:
    found = [own_token(owner)]
    push, pull = spec.source.push, spec.source.pull
    if push is not None:
        found = [*publisher_keys(owner), *found]
        if push.srt is not None and push.srt.passphrase_secret_ref is not None:
            found.append(users_key(SRT_PASSPHRASE_FILE, push.srt.passphrase_secret_ref))
    for index, source in enumerate(pull.uris if pull is not None else ()):
        if source.uri_secret_ref is not None:
            found.append(users_key(f"{PULL_DIR}/{index}", source.uri_secret_ref))
        if source.ca_secret_ref is not None:
            found.append(users_key(f"{PULL_CA_DIR}/{index}", source.ca_secret_ref))
    return tuple(found)


def users_secrets(spec: LiveStreamSpec) -> tuple[SecretKeyRef, ...]:
    """Return the keys of the user's own Secrets that the ingest pod mounts."""
    push, pull = spec.source.push, spec.source.pull
    refs = [push.srt.passphrase_secret_ref] if push is not None and push.srt is not None else []
    for source in pull.uris if pull is not None else ():
        refs += [source.uri_secret_ref, source.ca_secret_ref]
    return tuple(ref for ref in refs if ref is not None)
