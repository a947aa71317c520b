"""LiveStream: what shall exist for it, and what its status says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice_media.contract import HUB_PORT, IngestStatus, RingPin
from sluice_operator.api.v1alpha1 import LiveStreamSpec
from sluice_operator.domain.broadcast import Broadcast, on_air
from sluice_operator.domain.decision import Child, Condition, Decision
from sluice_operator.domain.manifests.config import Configuration, configuration
from sluice_operator.domain.manifests.ingest import ingest_config, ingest_template
from sluice_operator.domain.manifests.pod import deployment, template_hash
from sluice_operator.domain.manifests.secret import ingest_secret, rtmp_server, token_secret
from sluice_operator.domain.manifests.service import service
from sluice_operator.domain.names import HUB_SECRET_SUFFIX, ROTATE_ANNOTATION, child_name
from sluice_operator.domain.observed import ObservedLiveStream, Raw
from sluice_operator.domain.owner import Owner, Stored, keep_everything
from sluice_operator.domain.readiness import (
    Readiness,
    conflict_readiness,
    pod_readiness,
    ready,
)
from sluice_operator.domain.rollout import Rollout, Use, plan_rollout
from sluice_operator.domain.samples import fresh, nudges, seconds_to_stale
from sluice_operator.domain.ticks import hold_ticks
from sluice_operator.domain.times import parse_time, soonest
from sluice_operator.domain.transitions import events_for

__all__ = ["decide", "gateway_address"]

_ADDRESS_RETRY_SECONDS = 15.0
"""The gateway's Service is not watched."""


def decide(observed: ObservedLiveStream, now: datetime) -> Decision:
    """The complete wish for one LiveStream. Pure."""
    owner, stored = Owner.of(observed.raw), Stored.of(observed.raw)
    if owner.deleted_at is not None:
        return keep_everything(observed.raw)
    spec = LiveStreamSpec.model_validate(observed.raw["spec"])
    address = gateway_address(observed)
    template = ingest_template(owner, spec, observed.settings)
    rollout, config = _rollout_and_config(observed, owner, spec, template_hash(template))
    broadcast = on_air(
        observed, stored, active=spec.active, window=spec.resume_window_seconds, now=now
    )
    conflict = conflict_readiness(owner, observed.conflicts)
    readiness = conflict or _readiness(observed, owner, stored, address, now)
    children = () if conflict else _children(observed, owner, template, config, rollout, address)
    status, held = hold_ticks(_status(observed, owner, broadcast, address), stored.status, now)
    conditions = _conditions(observed, readiness, broadcast, rollout)
    rotation = owner.annotations.get(ROTATE_ANNOTATION, "")
    return Decision(
        status=status,
        conditions=conditions,
        children=children,
        pod_config_hashes=()
        if conflict
        else nudges(
            observed.pods,
            observed.sample,
            config.hash,
            keys_version=_digest(rotation) if rotation else "",
            skip_template_other_than=template_hash(template) if rollout.rolling else None,
        ),
        requeue_after_seconds=soonest(
            held,
            readiness.look_again_seconds,
            broadcast.look_again_seconds,
            seconds_to_stale(observed.sample, observed.operator_uptime_seconds),
        ),
        event_reasons=events_for(stored, conditions, _event_types(broadcast)),
    )


def gateway_address(observed: ObservedLiveStream) -> tuple[str, int] | None:
    """Host and RTMP port that publishers dial; None while there is no address."""
    settings, gateway = observed.settings, observed.gateway
    balancer = gateway.load_balancer_host if gateway is not None else None
    host = settings.gateway_public_host or balancer
    if not host:
        return None
    if settings.gateway_public_rtmp_port is not None:
        return host, settings.gateway_public_rtmp_port
    if gateway is None:
        return None
    if gateway.type == "NodePort":
        return (host, gateway.rtmp_node_port) if gateway.rtmp_node_port else None
    return host, gateway.rtmp_port


# --------------------------------------------------------------------------- children


def _children(
    observed: ObservedLiveStream,
    owner: Owner,
    template: dict[str, Any],
    config: Configuration,
    rollout: Rollout,
    address: tuple[str, int] | None,
) -> tuple[Child, ...]:
    token, rotation = _token(observed, owner)
    known = observed.ingest_secret
    return (
        Child(
            ingest_secret(owner, token, address, rotation),
            # Else it would be written over the token that somebody has just put in.
            over_version=known.version if known is not None else "",
        ),
        Child(token_secret(owner, HUB_SECRET_SUFFIX, observed.fresh_hub_token), create_only=True),
        Child(config.manifest),
        Child(service(owner, "hub", HUB_PORT)),
        Child(deployment(owner, template, paused=rollout.paused)),
    )


def _token(observed: ObservedLiveStream, owner: Owner) -> tuple[str, str]:
    """The publisher's key, and the rotation request that it answers.

    A token that is there is input. A fresh one is used when there is none, or when the annotation
    asks for another rotation than the Secret says was done."""
    rotation = owner.annotations.get(ROTATE_ANNOTATION, "")
    known = observed.ingest_secret
    if known is None or not known.token:
        return observed.fresh_token, rotation
    if rotation and rotation != (known.rotation or ""):
        return observed.fresh_token, rotation
    return known.token, known.rotation or ""


def _rollout_and_config(
    observed: ObservedLiveStream, owner: Owner, spec: LiveStreamSpec, template: str
) -> tuple[Rollout, Configuration]:
    """The rollout depends on whether the hub has echoed ``drain``, and ``drain`` on the rollout."""
    pins = _pins(observed.recordings)
    draining = configuration(owner, ingest_config(owner, spec, pins, drain=True))
    status = fresh(observed.sample)
    rollout = plan_rollout(
        deployment=observed.children.get(("Deployment", owner.workload_name)),
        pods=observed.pods,
        template_hash=template,
        immediate=spec.update_policy == "Immediate",
        use=_use(status, draining.hash),
    )
    if rollout.drain:
        return rollout, draining
    return rollout, configuration(owner, ingest_config(owner, spec, pins, drain=False))


def _use(status: IngestStatus | None, draining_hash: str) -> Use:
    if status is None:
        return Use(known=False)
    session = status.session is not None and status.session.finished_at is None
    busy = session or status.on_air or status.primary_connected
    return Use(known=True, busy=busy, drained=status.config_hash == draining_hash)


def _pins(recordings: tuple[Raw, ...]) -> list[RingPin]:
    """Recordings that have not begun: the ring keeps what they will ask for."""
    found = []
    for recording in recordings:
        status = recording.get("status") or {}
        metadata = recording["metadata"]
        begun = status.get("recordingStartedAt") or status.get("endReason")
        since = parse_time(metadata["creationTimestamp"])
        if begun or "deletionTimestamp" in metadata or since is None:
            continue
        found.append(RingPin(recording_uid=metadata["uid"], since=since))
    return sorted(found, key=lambda pin: pin.recording_uid)


# --------------------------------------------------------------------------- status


@dataclass(slots=True, frozen=True)
class _Mirror:
    """What the oldest running Recording says."""

    name: str
    duration: float | None
    observed_at: str | None


def _mirror(recordings: tuple[Raw, ...]) -> _Mirror | None:
    running = [r for r in recordings if (r.get("status") or {}).get("recording")]
    if not running:
        return None
    oldest = min(running, key=lambda r: (r["metadata"]["creationTimestamp"], r["metadata"]["name"]))
    status = oldest["status"]
    open_files = [
        f for f in status.get("files") or () if f["state"] in {"Recording", "Interrupted"}
    ]
    duration = open_files[-1].get("durationSeconds") if open_files else None
    return _Mirror(oldest["metadata"]["name"], duration, status.get("observedAt"))


def _status(
    observed: ObservedLiveStream,
    owner: Owner,
    broadcast: Broadcast,
    address: tuple[str, int] | None,
) -> dict[str, Any]:
    mirror = _mirror(observed.recordings)
    ingest: dict[str, Any] = {"secretName": child_name(owner.name, "ingest")}
    if address is not None:
        ingest["rtmp"] = f"{rtmp_server(*address, owner.namespace)}/{owner.name}"
    live_restreams = sum(bool((r.get("status") or {}).get("live")) for r in observed.restreams)
    status: dict[str, Any] = {
        "observedGeneration": owner.generation,
        **broadcast.fields,
        "recording": mirror is not None,
        "recordingDuration": mirror.duration if mirror else None,
        "observedAt": mirror.observed_at if mirror else None,
        "recordingName": mirror.name if mirror else None,
        "ingest": ingest,
        "restreams": {"total": len(observed.restreams), "live": live_restreams},
    }
    return {key: value for key, value in status.items() if value is not None}


def _readiness(
    observed: ObservedLiveStream,
    owner: Owner,
    stored: Stored,
    address: tuple[str, int] | None,
    now: datetime,
) -> Readiness:
    if address is None:
        words = "Set up; the gateway has no public address yet."
        when_ready = ready("AddressPending", words, _ADDRESS_RETRY_SECONDS)
    else:
        when_ready = ready("Configured", "Set up as asked for.")
    return pod_readiness(
        owner,
        stored,
        what="ingest pod",
        pods=observed.pods,
        sample=observed.sample,
        workload=observed.children.get(("Deployment", owner.workload_name)),
        operator_uptime_seconds=observed.operator_uptime_seconds,
        now=now,
        when_ready=when_ready,
    )


def _conditions(
    observed: ObservedLiveStream, readiness: Readiness, broadcast: Broadcast, rollout: Rollout
) -> tuple[Condition, ...]:
    mirror = _mirror(observed.recordings)
    if mirror is None:
        recording = Condition("Recording", "False", "NotRecording", "No Recording is running.")
    else:
        words = f"Recording {mirror.name} is running."
        recording = Condition("Recording", "True", "Recording", words)
    first, *rest = readiness.conditions()
    return (first, *broadcast.conditions, recording, rollout.condition(), *rest)


def _event_types(broadcast: Broadcast) -> dict[str, str]:
    unknown = broadcast.conditions[0].status == "Unknown"
    return {
        "Live": "Warning" if unknown else "Normal",
        "NoRandomAccess": "Warning",
        "Recording": "Normal",
        "Stalled": "Warning",
        "UpdatePending": "Normal",
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
