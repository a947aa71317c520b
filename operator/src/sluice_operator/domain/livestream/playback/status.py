"""The part of a LiveStream's status about its playback: ``status.playback`` and PlaybackReady.

In: the answers of the play pods and of the hub. PlaybackReady is True when a play pod has playlists
of the present session, and has received them through the edge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sluice_media.contract import PlayStatus
from sluice_operator.api.v1alpha1.reasons import PlaybackReadyReason, StalledReason
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.livestream.playback.facts import PlaybackFacts
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.readiness import Readiness, pod_trouble
from sluice_operator.domain.samples import START_GRACE_SECONDS, seconds_to_stale
from sluice_operator.domain.times import soonest

PLAYBACK_READY = "PlaybackReady"
_FIELD = "playback"
_ADDRESS_RETRY_SECONDS = 15.0
"""Pause before the address of the edge is read again, because its Service is not watched."""
_KEYFRAME_SECONDS = 4.0
"""Distance of keyframes from which on players start and follow noticeably later."""
_KEYFRAME_AGAIN_SECONDS = 3.5
"""Distance below which the advice is withdrawn. Encoders vary the distance all the time."""
_WINDOW_STEP_SECONDS = 10.0
_WINDOW_SHARE = 0.25
_CAPACITY = frozenset({StalledReason.UNSCHEDULABLE, StalledReason.POD_FORBIDDEN})
_WARNINGS = frozenset(
    {
        PlaybackReadyReason.NO_CAPACITY,
        PlaybackReadyReason.POD_FAILING,
        PlaybackReadyReason.EDGE_NOT_ANSWERING,
        PlaybackReadyReason.STALE,
    }
)


@dataclass(slots=True, frozen=True)
class PlaybackView:
    """The playback of a LiveStream as its status shows it."""

    fields: dict[str, Any]
    """``status.playback``."""
    condition: Condition
    """PlaybackReady."""
    look_again_seconds: float | None = None

    @property
    def event_type(self) -> str:
        """Type of the event for a change of the condition."""
        return "Warning" if self.condition.reason in _WARNINGS else "Normal"


def playback_view(facts: PlaybackFacts, conflict: Readiness | None) -> PlaybackView:
    """Return the view. ``conflict`` is set when a foreign object keeps the children from being
    made."""
    trouble = conflict or _trouble(facts)
    condition = _condition(facts, trouble)
    if facts.answers and trouble is not None and trouble.stalled:
        # The pods that answer serve viewers, and another one cannot run.
        condition = replace(condition, message=f"{condition.message} {trouble.message}")
    uptime = facts.operator_uptime_seconds
    waits_for_address = facts.settings.edge is not None and facts.address.base is None
    return PlaybackView(
        fields=_fields(facts),
        condition=condition,
        look_again_seconds=soonest(
            trouble.look_again_seconds if trouble is not None else None,
            _ADDRESS_RETRY_SECONDS if waits_for_address else None,
            *(seconds_to_stale(sample, uptime) for sample in facts.observed.samples or (None,)),
        ),
    )


def renews_window(raw: Raw, status: PlayStatus) -> bool:
    """Return whether an answer without news is written because the window has grown."""
    known = ((raw.get("status") or {}).get(_FIELD) or {}).get("windowSeconds")
    return status.is_serving and _is_window_due(known, status.window_seconds)


# --------------------------------------------------------------------------- fields


def _fields(facts: PlaybackFacts) -> dict[str, Any]:
    ready = [pod for pod in facts.observed.pods if pod.ready and not pod.terminating]
    found: dict[str, Any] = {
        "baseUrl": facts.address.base,
        **_urls(facts),
        "replicas": {"wanted": facts.wanted_replicas, "ready": len(ready)},
        "windowSeconds": _window(facts),
    }
    return {key: value for key, value in found.items() if value is not None}


def _urls(facts: PlaybackFacts) -> dict[str, str]:
    """Return the URLs that viewers can use as they are."""
    playback, owner = facts.playback, facts.owner
    if facts.address.base is None or playback.access == "Signed":
        return {}
    prefix = f"{facts.address.base}/{owner.namespace}/{owner.name}"
    urls = {"player": f"{prefix}/", "screenshot": f"{prefix}/screenshot.jpg"}
    if playback.hls.enabled:
        urls["hls"] = f"{prefix}/index.m3u8"
    if playback.dash.enabled:
        urls["dash"] = f"{prefix}/index.mpd"
    if playback.hls_mpegts.enabled:
        urls["hlsMpegts"] = f"{prefix}/mpegts.m3u8"
    return urls


def _window(facts: PlaybackFacts) -> float | None:
    """Return the largest window of the pods. A small change keeps the stored value."""
    known = (facts.stored.get(_FIELD) or {}).get("windowSeconds")
    if not facts.answers and _in_grace(facts):
        return known
    serving = _serving(facts)
    if not serving:
        return None
    measured = max(status.window_seconds for status in serving)
    return round(measured, 1) if _is_window_due(known, measured) else known


def _is_window_due(known: float | None, measured: float) -> bool:
    if known is None:
        return True
    change = abs(measured - known)
    return change >= _WINDOW_STEP_SECONDS or change > known * _WINDOW_SHARE


# --------------------------------------------------------------------------- condition


def _condition(facts: PlaybackFacts, trouble: Readiness | None) -> Condition:
    if facts.settings.edge is None:
        return _false(
            PlaybackReadyReason.EDGE_DISABLED,
            "The installation has no edge, so nothing can be played. Its administrator can switch "
            "the edge on in the chart's values.",
        )
    if not facts.answers:
        return _without_answer(facts, trouble)
    refusal = next((s.config_error for s in facts.answers if s.config_error), None)
    if refusal and not any(status.is_serving for status in facts.answers):
        return _false(PlaybackReadyReason.POD_FAILING, refusal)
    if facts.address.base is None:
        message = f"The edge has no public address yet. {facts.address.pending}"
        return _false(PlaybackReadyReason.EDGE_ADDRESS_PENDING, message)
    if not _session_is_on(facts):
        return _false(PlaybackReadyReason.NOT_ON_AIR, "The stream is not on air.")
    return _on_air(facts)


def _without_answer(facts: PlaybackFacts, trouble: Readiness | None) -> Condition:
    known = facts.stored.as_condition(PLAYBACK_READY)
    if known is not None and _in_grace(facts):
        return known
    if trouble is not None and trouble.stalled:
        capacity = trouble.reason in _CAPACITY
        reason = PlaybackReadyReason.NO_CAPACITY if capacity else PlaybackReadyReason.POD_FAILING
        return _false(reason, trouble.message)
    if known is not None and known.reason == PlaybackReadyReason.POD_FAILING and _crashes(facts):
        return known
    if facts.observed.samples:
        return Condition(
            PLAYBACK_READY,
            "Unknown",
            PlaybackReadyReason.STALE,
            "No play pod has answered for more than 10 s; viewers may still be served.",
        )
    message = trouble.message if trouble is not None else "The play pods are starting."
    return _false(PlaybackReadyReason.STARTING, message)


def _on_air(facts: PlaybackFacts) -> Condition:
    serving = _serving(facts)
    if not serving:
        return _false(
            PlaybackReadyReason.STARTING,
            "The play pods have no complete segment of this session yet.",
        )
    if not any(status.edge_answers for status in serving):
        cause = next((status.edge_message for status in serving if status.edge_message), None)
        if cause is None:
            message = "The play pods are asking the edge for the playlist of this session."
            return _false(PlaybackReadyReason.STARTING, message)
        return _false(PlaybackReadyReason.EDGE_NOT_ANSWERING, cause)
    if _keyframes_are_far_apart(facts, serving):
        return Condition(
            PLAYBACK_READY,
            "True",
            PlaybackReadyReason.KEYFRAME_INTERVAL,
            "Players can play the stream, but its keyframes are more than 4 s apart. So players "
            "start later, and viewers see the stream later. Set the encoder's keyframe interval "
            "to 2 s.",
        )
    message = "Players can play the stream."
    return Condition(PLAYBACK_READY, "True", PlaybackReadyReason.SERVING, message)


def _false(reason: PlaybackReadyReason, message: str) -> Condition:
    return Condition(PLAYBACK_READY, "False", reason, message)


# --------------------------------------------------------------------------- facts


def _trouble(facts: PlaybackFacts) -> Readiness | None:
    return pod_trouble(
        "play pod",
        facts.observed.pods,
        facts.deployment,
        facts.settings.pod_trouble_seconds,
        facts.now,
    )


def _crashes(facts: PlaybackFacts) -> bool:
    """Return whether a pod runs between two crashes."""
    return any(pod.last_exit is not None and not pod.ready for pod in facts.observed.pods)


def _session_is_on(facts: PlaybackFacts) -> bool:
    """Return whether a session is on, by the hub, or by the play pods while the hub cannot know."""
    if facts.hub is not None and not facts.hub.adopting:
        return facts.hub.timeline is not None
    return any(status.session is not None for status in facts.answers)


def _serving(facts: PlaybackFacts) -> list[PlayStatus]:
    """Return the answers of the pods that have playlists of the present session."""
    if not _session_is_on(facts):
        return []
    present = facts.hub.timeline if facts.hub is not None else None
    return [s for s in facts.answers if s.is_serving and present in (None, s.session)]


def _keyframes_are_far_apart(facts: PlaybackFacts, serving: list[PlayStatus]) -> bool:
    known = facts.stored.as_condition(PLAYBACK_READY)
    advised = known is not None and known.reason == PlaybackReadyReason.KEYFRAME_INTERVAL
    limit = _KEYFRAME_AGAIN_SECONDS if advised else _KEYFRAME_SECONDS
    return max(status.keyframe_seconds for status in serving) > limit


def _in_grace(facts: PlaybackFacts) -> bool:
    """Return whether the operator has just started and no play pod has answered since."""
    return not facts.observed.samples and facts.operator_uptime_seconds < START_GRACE_SECONDS
