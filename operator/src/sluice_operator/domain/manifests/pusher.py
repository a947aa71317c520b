"""The pusher of a Restream: its configuration and its pod template."""

from __future__ import annotations

from typing import Any

from sluice_media.contract import (
    STREAM_KEY_FILE,
    TARGET_CA_FILE,
    TARGET_PASSPHRASE_FILE,
    TARGET_URI_FILE,
    PusherConfig,
    StreamRef,
)
from sluice_operator.api.v1alpha1 import RestreamSpec
from sluice_operator.api.v1alpha1.common import SecretKeyRef, Workload
from sluice_operator.domain.manifests.guard import address_guard
from sluice_operator.domain.manifests.keys import (
    own_token,
    users_key,
)
from sluice_operator.domain.manifests.pod import KeyMount, PodShape, pod_template
from sluice_operator.domain.names import RESTART_ANNOTATION
from sluice_operator.domain.observed import DomainSettings
from sluice_operator.domain.owner import Owner
from sluice_operator.domain.restream.clearance import Clearance


def pusher_config(
    owner: Owner,
    spec: RestreamSpec,
    settings: DomainSettings,
    stream: StreamRef | None,
    clearance: Clearance,
) -> PusherConfig:
    return PusherConfig(
        namespace=owner.namespace,
        name=owner.name,
        uid=owner.uid,
        generation=owner.generation,
        stream=stream,
        active=spec.active,
        uri=spec.uri,
        has_stream_key=spec.stream_key_secret_ref is not None,
        has_passphrase=spec.passphrase_secret_ref is not None,
        has_ca=spec.ca_secret_ref is not None,
        audio=spec.audio,
        video_codecs=spec.video_codecs,
        restart=owner.annotations.get(RESTART_ANNOTATION, ""),
        retry_min_seconds=spec.retry.min_seconds,
        retry_max_seconds=spec.retry.max_seconds,
        give_up_seconds=spec.retry.give_up_seconds,
        guard=address_guard(settings),
        duplicate_of=clearance.duplicate_of,
        cleared_target=clearance.cleared_target,
        withdrawn_targets=list(clearance.withdrawn_targets),
        claim_revision=clearance.revision,
    )


def with_mounted_keys(wanted: PusherConfig, mounted: PusherConfig | None) -> PusherConfig:
    """Return ``wanted`` with the target of ``mounted``, because the running pod mounts the keys of
    that target. With the new target, the pusher would send the former key to another server, or
    lack a key."""
    if mounted is None:
        return wanted
    target = {
        "uri": mounted.uri,
        "has_stream_key": mounted.has_stream_key,
        "has_passphrase": mounted.has_passphrase,
        "has_ca": mounted.has_ca,
    }
    return wanted.model_copy(update=target)


def pusher_template(
    owner: Owner, spec: RestreamSpec, settings: DomainSettings, workload: Workload | None
) -> dict[str, Any]:
    keys = [own_token(owner), *(mount for mount, _ in _users_keys(spec))]
    return pod_template(owner, settings, PodShape(keys=keys, workload=workload))


def users_secrets(spec: RestreamSpec) -> tuple[SecretKeyRef, ...]:
    """Return the keys of the user's own Secrets that the pusher mounts."""
    return tuple(ref for _, ref in _users_keys(spec))


def _users_keys(spec: RestreamSpec) -> list[tuple[KeyMount, SecretKeyRef]]:
    given = (
        (TARGET_URI_FILE, spec.uri_secret_ref),
        (STREAM_KEY_FILE, spec.stream_key_secret_ref),
        (TARGET_PASSPHRASE_FILE, spec.passphrase_secret_ref),
        (TARGET_CA_FILE, spec.ca_secret_ref),
    )
    return [(users_key(file, ref), ref) for file, ref in given if ref is not None]
