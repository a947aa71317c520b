"""LiveStream: what shall exist for it, and what its status says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice_media.contract import HUB_PORT, GivenUp, IngestConfig, IngestStatus
from sluice_operator.api.v1alpha1 import LiveStreamSpec
from sluice_operator.domain.decision import Child, Condition, Decision
from sluice_operator.domain.livestream.addresses import Addresses, publish_addresses
from sluice_operator.domain.livestream.auto_recording import (
    RecordedSessions,
    holds_alone,
    new_sessions,
    pins_of,
    recorded_sessions,
    wanted_recordings,
)
from sluice_operator.domain.livestream.broadcast import Broadcast, SourceKind, on_air
from sluice_operator.domain.livestream.giving_up import given_up, with_given_up
from sluice_operator.domain.livestream.sessions import session_is_on
from sluice_operator.domain.manifests.config import Configuration, configuration, stored_config
from sluice_operator.domain.manifests.ingest import (
    ingest_config,
    ingest_template,
    users_secrets,
    with_mounted_keys,
)
from sluice_operator.domain.manifests.pod import deployment, template_hash
from sluice_operator.domain.manifests.secret import PublisherKeys, ingest_secret, token_secret
from sluice_operator.domain.manifests.service import service
from sluice_operator.domain.names import HUB_SECRET_SUFFIX, ROTATE_ANNOTATION, child_name
from sluice_operator.domain.observed import Conflict, ObservedLiveStream
from sluice_operator.domain.owner import Owner, Stored, keep_everything
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.protection import (
    BUDGET,
    budget,
    budget_deletion,
    find_others_budget,
    less_protected,
    pod_protection,
)
from sluice_operator.domain.readiness import (
    Readiness,
    conflict_readiness,
    pod_readiness,
    ready,
    with_places,
)
from sluice_operator.domain.recording.files import OPEN_STATES
from sluice_operator.domain.rollout import Rollout, Use, lacks_users_keys, plan_rollout
from sluice_operator.domain.samples import fresh, nudges, seconds_to_stale
from sluice_operator.domain.specs import read_spec
from sluice_operator.domain.ticks import (
    OBSERVED_AT,
    RECORDING_OBSERVED_AT,
    hold_ticks,
    is_refresh_due,
)
from sluice_operator.domain.times import soonest, utc_text
from sluice_operator.domain.transitions import events_for

_ADDRESS_RETRY_SECONDS = 15.0
"""The Services that publishers dial are not watched."""
_LIVE_AGE_SECONDS = 30.0
"""On air ``observedAt`` is renewed when the hub's answer is newer by this. Answers are up to 26 s
apart, so that an ``observedAt`` of more than a minute ago means that the status is late."""


def decide(observed: ObservedLiveStream, now: datetime) -> Decision:
    """The complete wish for one LiveStream. Pure."""
    owner, stored = Owner.of(observed.raw), Stored.of(observed.raw)
    if owner.deleted_at is not None:
        return keep_everything(observed.raw)
    spec = read_spec(LiveStreamSpec, observed.raw)
    recorded = recorded_sessions(stored, observed.recordings, owner.uid, now)
    addresses = _addresses(observed, spec)
    template = ingest_template(owner, spec, observed.settings)
    told = fresh(observed.sample)
    gave_up = given_up(stored, owner, told)
    rollout, config = _rollout_and_config(observed, owner, spec, template, recorded, gave_up)
    broadcast = on_air(observed, stored, SourceKind.of(spec), now)
    conflict = conflict_readiness(owner, _conflicts(observed, owner, spec))
    readiness = conflict or _readiness(observed, owner, stored, spec, addresses, now)
    keys = _publisher_keys(observed, owner)
    busy = told is not None and is_busy(told, stored)
    protection = pod_protection(observed.pods, told, busy=busy)
    others_budget = find_others_budget(observed.conflicts)
    existing_budget = observed.children.get((BUDGET[1], owner.workload_name))
    children: tuple[Child, ...] = ()
    if conflict is None:
        children = (
            *_ingest_secret(observed, owner, spec, keys, addresses),
            Child(
                token_secret(owner, HUB_SECRET_SUFFIX, observed.fresh_hub_token), create_only=True
            ),
            Child(config.manifest),
            Child(service(owner, "hub", HUB_PORT)),
            Child(deployment(owner, template, paused=rollout.paused)),
            *wanted_recordings(
                owner,
                spec,
                new_sessions(spec, told, recorded),
                observed.recording_names,
            ),
            *((budget(owner),) if busy and others_budget is None else ()),
        )
    wanted = _status(observed, owner, spec, broadcast, addresses, recorded, gave_up)
    refresh = _LIVE_AGE_SECONDS if broadcast.measured_on_air else None
    status, held = hold_ticks(wanted, stored.status, RECORDING_OBSERVED_AT, refresh)
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
        deletions=(budget_deletion(existing_budget),)
        if existing_budget is not None and told is not None and not busy
        else (),
        pod_annotations=protection,
        notices=less_protected(protection, others_budget),
        requeue_after_seconds=soonest(
            held,
            readiness.look_again_seconds,
            broadcast.look_again_seconds,
            seconds_to_stale(observed.sample, observed.operator_uptime_seconds),
        ),
        event_reasons=events_for(stored, conditions, _event_types(broadcast)),
    )


def renews_age(raw: Raw, status: IngestStatus) -> bool:
    """Return whether an answer that brings no news is written for its ``observedAt`` alone."""
    measured = {OBSERVED_AT: utc_text(status.observed_at)}
    return status.on_air and is_refresh_due(raw.get("status") or {}, measured, _LIVE_AGE_SECONDS)


# --------------------------------------------------------------------------- children


def _addresses(observed: ObservedLiveStream, spec: LiveStreamSpec) -> Addresses:
    """Of the protocols that publishers of this stream may use."""
    push = spec.source.push
    found = publish_addresses(
        observed.settings, observed.gateway, observed.gateway_srt, observed.whip
    )
    return found.only(push.protocols if push is not None else [])


def _conflicts(
    observed: ObservedLiveStream, owner: Owner, spec: LiveStreamSpec
) -> tuple[Conflict, ...]:
    """Those that keep the stream from working.

    A stream that is pulled has no keys, so that it needs no Secret for them; without a budget it is
    less protected, no more."""
    unused = {(BUDGET[1], owner.workload_name)}
    if spec.source.push is None:
        unused.add(("Secret", child_name(owner.name, "ingest")))
    return tuple(c for c in observed.conflicts if (c.kind, c.name) not in unused)


def _ingest_secret(
    observed: ObservedLiveStream,
    owner: Owner,
    spec: LiveStreamSpec,
    keys: PublisherKeys,
    addresses: Addresses,
) -> tuple[Child, ...]:
    if spec.source.push is None:
        return ()
    known = observed.ingest_secret
    manifest = ingest_secret(owner, keys, addresses, backup=spec.source.push.backup.enabled)
    # Else it would be written over the token that somebody has just put in.
    return (Child(manifest, over_version=known.version if known is not None else ""),)


def _publisher_keys(observed: ObservedLiveStream, owner: Owner) -> PublisherKeys:
    """The publishers' keys, and the rotation request that they answer.

    A token that is there is input. Fresh ones are used where there is none, and for both when the
    annotation asks for another rotation than the Secret says was done."""
    rotation = owner.annotations.get(ROTATE_ANNOTATION, "")
    known = observed.ingest_secret
    fresh_keys = PublisherKeys(observed.fresh_token, observed.fresh_backup_token, rotation)
    if known is None or (rotation and rotation != (known.rotation or "")):
        return fresh_keys
    return PublisherKeys(
        known.token or fresh_keys.primary, known.backup_token or fresh_keys.backup, known.rotation
    )


def _rollout_and_config(
    observed: ObservedLiveStream,
    owner: Owner,
    spec: LiveStreamSpec,
    template: dict[str, Any],
    recorded: RecordedSessions,
    gave_up: GivenUp | None,
) -> tuple[Rollout, Configuration]:
    """The rollout depends on whether the hub has echoed ``drain``, and ``drain`` on the rollout."""
    pins = pins_of(observed.recordings)
    mounted = None
    if lacks_users_keys(observed.pods, template):
        mounted = stored_config(
            IngestConfig, observed.children.get(("ConfigMap", owner.workload_name))
        )

    def config(mounted: IngestConfig | None, *, drain: bool) -> Configuration:
        wanted = ingest_config(
            owner,
            spec,
            observed.settings,
            pins,
            recorded=recorded,
            given_up=gave_up is not None,
            drain=drain,
        )
        return configuration(owner, with_mounted_keys(wanted, mounted))

    draining = config(mounted, drain=True)
    status = fresh(observed.sample)
    rollout = plan_rollout(
        deployment=observed.children.get(("Deployment", owner.workload_name)),
        pods=observed.pods,
        template_hash=template_hash(template),
        immediate=spec.update_policy == "Immediate",
        use=_use(
            status, draining.hash, holds=status is not None and holds_alone(status, recorded, pins)
        ),
    )
    if rollout.drain:
        return rollout, draining
    return rollout, config(mounted if rollout.pending else None, drain=False)


def _use(status: IngestStatus | None, draining_hash: str, *, holds: bool) -> Use:
    """``holds``: a session is on this pod's disk, and nowhere else."""
    if status is None:
        return Use(known=False)
    drained = status.config_hash == draining_hash
    return Use(known=True, busy=_is_in_use(status) or holds, drained=drained)


def is_busy(status: IngestStatus, stored: Stored) -> bool:
    """Whether losing the pod would be seen by somebody."""
    # A session that no recorder holds yet is on this pod's disk, and nowhere else.
    adopts = status.adopting and session_is_on(stored)
    return _carries(status) or adopts or bool(status.recordable)


def _is_in_use(status: IngestStatus) -> bool:
    # A hub that came up a moment ago may go on with a session whose publisher is being held.
    return _carries(status) or status.adopting


def _carries(status: IngestStatus) -> bool:
    session = status.session is not None and status.session.finished_at is None
    return session or status.on_air or status.primary_connected or status.backup_connected


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
    open_files = [f for f in status.get("files") or () if f["state"] in OPEN_STATES]
    duration = open_files[-1].get("durationSeconds") if open_files else None
    return _Mirror(oldest["metadata"]["name"], duration, status.get("observedAt"))


def _status(
    observed: ObservedLiveStream,
    owner: Owner,
    spec: LiveStreamSpec,
    broadcast: Broadcast,
    addresses: Addresses,
    recorded: RecordedSessions,
    gave_up: GivenUp | None,
) -> dict[str, Any]:
    mirror = _mirror(observed.recordings)
    live_restreams = sum(bool((r.get("status") or {}).get("live")) for r in observed.restreams)
    status: dict[str, Any] = {
        "observedGeneration": owner.generation,
        **broadcast.fields,
        "pull": with_given_up(broadcast.fields["pull"], gave_up),
        "recording": mirror is not None,
        "recordingDuration": mirror.duration if mirror else None,
        RECORDING_OBSERVED_AT: mirror.observed_at if mirror else None,
        "recordingName": mirror.name if mirror else None,
        **recorded.fields(),
        "ingest": _ingest(owner, addresses) if spec.source.push is not None else None,
        "restreams": {"total": len(observed.restreams), "live": live_restreams},
    }
    return {key: value for key, value in status.items() if value is not None}


def _ingest(owner: Owner, addresses: Addresses) -> dict[str, str]:
    """Addresses without keys."""
    found = {
        "secretName": child_name(owner.name, "ingest"),
        "rtmp": addresses.rtmp_server("RTMP", owner.namespace),
        "rtmps": addresses.rtmp_server("RTMPS", owner.namespace),
        "srt": addresses.srt(f"{owner.namespace}/{owner.name}"),
        "whip": addresses.whip(owner.namespace, owner.name),
    }
    for protocol in ("rtmp", "rtmps"):
        if found[protocol]:
            found[protocol] = f"{found[protocol]}/{owner.name}"
    return {key: value for key, value in found.items() if value is not None}


def _readiness(
    observed: ObservedLiveStream,
    owner: Owner,
    stored: Stored,
    spec: LiveStreamSpec,
    addresses: Addresses,
    now: datetime,
) -> Readiness:
    when_ready = _address_readiness(spec, addresses)
    found = pod_readiness(
        owner,
        stored,
        what="ingest pod",
        pods=observed.pods,
        sample=observed.sample,
        workload=observed.children.get(("Deployment", owner.workload_name)),
        operator_uptime_seconds=observed.operator_uptime_seconds,
        trouble_seconds=observed.settings.pod_trouble_seconds,
        now=now,
        when_ready=when_ready,
    )
    return with_places(found, users_secrets(spec))


def _address_readiness(spec: LiveStreamSpec, addresses: Addresses) -> Readiness:
    """One protocol with an address is enough to publish; the others are named all the same."""
    if spec.source.push is not None and not addresses.bases:
        words = f"Set up; the gateway has no public address yet. {addresses.pending_text()}"
        return ready("AddressPending", words.rstrip(), _ADDRESS_RETRY_SECONDS)
    words = "Set up as asked for."
    if addresses.pending:
        return ready("Configured", f"{words} {addresses.pending_text()}", _ADDRESS_RETRY_SECONDS)
    return ready("Configured", words)


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
    live = broadcast.conditions[0]
    unknown = "Warning" if live.status == "Unknown" else "Normal"
    return {
        "Live": "Warning" if live.reason == "InactivityTimeout" else unknown,
        "BackupLive": unknown,
        "NoRandomAccess": "Warning",
        "Recording": "Normal",
        "Stalled": "Warning",
        "UpdatePending": "Normal",
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
