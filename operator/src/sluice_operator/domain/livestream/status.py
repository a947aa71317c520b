"""The status of a LiveStream: its fields, its conditions, and the events for their changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sluice_operator.api.v1alpha1.reasons import LiveReason, ReadyReason, StreamRecordingReason
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.livestream.broadcast import Broadcast
from sluice_operator.domain.livestream.facts import LiveStreamFacts
from sluice_operator.domain.livestream.giving_up import with_given_up
from sluice_operator.domain.livestream.playback.status import PLAYBACK_READY, PlaybackView
from sluice_operator.domain.manifests.ingest import users_secrets
from sluice_operator.domain.names import child_name
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.readiness import Readiness, pod_readiness, ready, with_secret_keys
from sluice_operator.domain.recording.files import OPEN_STATES
from sluice_operator.domain.rollout import Rollout
from sluice_operator.domain.ticks import RECORDING_OBSERVED_AT

_ADDRESS_RETRY_SECONDS = 15.0
"""Pause before the addresses are read again, because the Services that publishers dial are not
watched."""


@dataclass(slots=True, frozen=True)
class _OldestRecording:
    """The oldest running Recording, as the LiveStream's status shows it."""

    name: str
    duration: float | None
    observed_at: str | None


def _oldest_recording(recordings: tuple[Raw, ...]) -> _OldestRecording | None:
    running = [r for r in recordings if (r.get("status") or {}).get("recording")]
    if not running:
        return None
    oldest = min(running, key=lambda r: (r["metadata"]["creationTimestamp"], r["metadata"]["name"]))
    status = oldest["status"]
    open_files = [f for f in status.get("files") or () if f["state"] in OPEN_STATES]
    duration = open_files[-1].get("durationSeconds") if open_files else None
    return _OldestRecording(oldest["metadata"]["name"], duration, status.get("observedAt"))


def status_of(
    facts: LiveStreamFacts, broadcast: Broadcast, playback: PlaybackView | None
) -> dict[str, Any]:
    observed = facts.observed
    oldest = _oldest_recording(observed.recordings)
    live_restreams = sum(bool((r.get("status") or {}).get("live")) for r in observed.restreams)
    status: dict[str, Any] = {
        "observedGeneration": facts.owner.generation,
        **broadcast.fields,
        "pull": with_given_up(broadcast.fields["pull"], facts.given_up),
        "recording": oldest is not None,
        "recordingDuration": oldest.duration if oldest else None,
        RECORDING_OBSERVED_AT: oldest.observed_at if oldest else None,
        "recordingName": oldest.name if oldest else None,
        **facts.recorded.fields(),
        "ingest": _ingest(facts) if facts.spec.source.push is not None else None,
        "playback": playback.fields if playback is not None else None,
        "restreams": {"total": len(observed.restreams), "live": live_restreams},
    }
    return {key: value for key, value in status.items() if value is not None}


def _ingest(facts: LiveStreamFacts) -> dict[str, str]:
    """Return the addresses without keys."""
    owner, addresses = facts.owner, facts.addresses
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


# --------------------------------------------------------------------------- conditions


def livestream_readiness(facts: LiveStreamFacts) -> Readiness:
    observed = facts.observed
    found = pod_readiness(
        facts.owner,
        facts.stored,
        what="ingest pod",
        pods=observed.pods,
        sample=observed.sample,
        workload=facts.deployment,
        operator_uptime_seconds=observed.operator_uptime_seconds,
        trouble_seconds=observed.settings.pod_trouble_seconds,
        now=facts.now,
        when_ready=_address_readiness(facts),
    )
    return with_secret_keys(found, users_secrets(facts.spec))


def _address_readiness(facts: LiveStreamFacts) -> Readiness:
    """Return ready: one protocol with an address is enough. The message names the others."""
    addresses = facts.addresses
    if facts.spec.source.push is not None and not addresses.bases:
        message = f"Set up, but the gateway has no public address yet. {addresses.pending_text()}"
        return ready(ReadyReason.ADDRESS_PENDING, message.rstrip(), _ADDRESS_RETRY_SECONDS)
    message = "Set up as specified."
    if addresses.pending:
        return ready(
            ReadyReason.CONFIGURED, f"{message} {addresses.pending_text()}", _ADDRESS_RETRY_SECONDS
        )
    return ready(ReadyReason.CONFIGURED, message)


def conditions_of(
    facts: LiveStreamFacts,
    readiness: Readiness,
    broadcast: Broadcast,
    playback: PlaybackView | None,
    rollout: Rollout,
) -> tuple[Condition, ...]:
    oldest = _oldest_recording(facts.observed.recordings)
    if oldest is None:
        recording = Condition(
            "Recording", "False", StreamRecordingReason.NOT_RECORDING, "No Recording is running."
        )
    else:
        message = f"Recording {oldest.name} is running."
        recording = Condition("Recording", "True", StreamRecordingReason.RECORDING, message)
    first, *rest = readiness.conditions()
    played = (playback.condition,) if playback is not None else ()
    return (first, *broadcast.conditions, *played, recording, rollout.condition(), *rest)


def event_types(broadcast: Broadcast, playback: PlaybackView | None) -> dict[str, str]:
    live = broadcast.conditions[0]
    unknown = "Warning" if live.status == "Unknown" else "Normal"
    return {
        "Live": "Warning" if live.reason == LiveReason.INACTIVITY_TIMEOUT else unknown,
        "BackupLive": unknown,
        "NoRandomAccess": "Warning",
        PLAYBACK_READY: playback.event_type if playback is not None else "Normal",
        "Recording": "Normal",
        "Stalled": "Warning",
        "UpdatePending": "Normal",
    }
