"""Recording: its recorder, its end, and its status.

A Recording runs in three stages: the recorder works (a Job); the recorder is done and the store
makes the files; the Recording is over, and only the status is left. ``endReason`` in the status
separates the first stage from the second, condition Succeeded the second from the third.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sluice_operator.api.v1alpha1 import DEFAULT_STORE
from sluice_operator.api.v1alpha1.reasons import (
    EndReason,
    ReadyReason,
    ReconcilingReason,
    StalledReason,
    SucceededReason,
)
from sluice_operator.domain.decision import Child, Decision
from sluice_operator.domain.livestream.auto_recording import is_remembered
from sluice_operator.domain.manifests.store import default_store_manifest
from sluice_operator.domain.names import FINALIZER
from sluice_operator.domain.observed import ObservedRecording
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.readiness import (
    Readiness,
    conflict_readiness,
    missing_reference,
    ready,
    reconciling,
    stalled,
)
from sluice_operator.domain.recording.deletion import decide_deleted, holds_objects
from sluice_operator.domain.recording.facts import RecordingFacts
from sluice_operator.domain.recording.recorder import (
    recorder_children,
    recorder_configuration,
    recorder_deletions,
    recorder_readiness,
)
from sluice_operator.domain.recording.restored import (
    free_the_name,
    restart_requested,
    restored_progress,
    store_not_asked,
)
from sluice_operator.domain.recording.start import not_startable, refused_start
from sluice_operator.domain.recording.state import (
    Progress,
    never_started,
    progress_of,
    recorder_lost,
)
from sluice_operator.domain.recording.status import conditions_of, events_of, status_of
from sluice_operator.domain.recording.store_calls import store_calls
from sluice_operator.domain.samples import nudges, seconds_to_stale
from sluice_operator.domain.ticks import hold_ticks
from sluice_operator.domain.times import soonest

_TOKEN_WAIT_SECONDS = 1.0
_REMEMBERED_AGAIN_SECONDS = 30.0
_CLEAN_UP_SECONDS = 0.1
"""Time from the pass that writes the end to the one that may delete the recorder."""


def decide(observed: ObservedRecording, now: datetime) -> Decision:
    """Return the complete desired state of one Recording. Pure."""
    facts = RecordingFacts.of(observed, now, Stored.of(observed.raw))
    if restart_requested(facts):
        decision = free_the_name(observed)
        if decision is not None:
            return decision
        facts = RecordingFacts.of(replace(observed, stored=None), now, Stored({}))
    progress = restored_progress(facts) or progress_of(facts)
    if facts.deleted:
        return decide_deleted(facts, progress)
    if progress.end_reason is not None:
        return _after_the_end(facts, progress)
    return _at_work(facts, progress)


# --------------------------------------------------------------------------- at work


def _at_work(facts: RecordingFacts, progress: Progress) -> Decision:
    observed = facts.observed
    conflict = conflict_readiness(facts.owner, observed.conflicts)
    unasked = store_not_asked(observed)
    obstacle = (
        conflict
        or unasked
        or not_startable(facts)
        or _stream_missing(facts)
        or _store_missing(facts)
        or _token_missing(facts)
    )
    recorder_state = recorder_readiness(facts)
    over = refused_start(facts) if unasked is None else None
    over = over or _given_up(facts, recorder_state)
    if over is not None:
        return _after_the_end(facts, over)
    readiness = obstacle or recorder_state
    config = recorder_configuration(facts)
    # A running recorder must learn of a stop, whatever is missing.
    reachable = conflict is None and (obstacle is None or facts.job is not None)
    children: tuple[Child, ...] = ()
    if conflict is None:
        children = _default_store(facts)
    if reachable:
        children += recorder_children(facts, config)
    status, held = hold_ticks(status_of(facts, progress), facts.stored.status)
    conditions = conditions_of(facts, progress, readiness)
    calls = store_calls(facts, progress)
    return Decision(
        status=status,
        conditions=conditions,
        children=children,
        pod_config_hashes=nudges(observed.pods, observed.sample, config.hash) if reachable else (),
        store_calls=calls,
        status_when_acknowledged={"storeGeneration": facts.owner.generation} if calls else {},
        finalizer=reachable
        or facts.job is not None
        or not is_remembered(observed.raw, observed.stream),
        requeue_after_seconds=soonest(
            held,
            readiness.look_again_seconds,
            seconds_to_stale(observed.sample, observed.operator_uptime_seconds),
        ),
        event_reasons=events_of(facts, progress, conditions),
    )


def _given_up(facts: RecordingFacts, recorder: Readiness) -> Progress | None:
    """Return the end of a stopped Recording, or of one whose stream is gone, while no recorder can
    be started. Only a recorder carries out a stop, so without this the Recording would never end.
    """
    if facts.recorder is not None or facts.in_start_grace or not recorder.stalled:
        return None
    if facts.job is None or not (facts.stopped or facts.presence == "Gone"):
        return None
    if facts.stored.get("recordingStartedAt"):
        return recorder_lost(facts)
    reason = EndReason.STOPPED if facts.stopped else EndReason.STREAM_ENDED
    message = f"The recorder could not be started, so nothing was recorded. {recorder.message}"
    return never_started(reason, SucceededReason.NOTHING_RECORDED, message)


def _stream_missing(facts: RecordingFacts) -> Readiness | None:
    """Return the obstacle when the stream never existed. The deletion of a stream ends the
    Recording."""
    if facts.presence != "NeverSeen":
        return None
    what = f"LiveStream {facts.spec.stream_ref.name}"
    return missing_reference(
        facts.owner, facts.stored, StalledReason.STREAM_NOT_FOUND, what, facts.now
    )


def _store_missing(facts: RecordingFacts) -> Readiness | None:
    if facts.observed.store is not None:
        return None
    if _default_store(facts):
        return reconciling(ReconcilingReason.STARTING, "The MediaStore default is being created.")
    return _store_not_found(facts)


def _store_not_found(facts: RecordingFacts) -> Readiness:
    what = f"MediaStore {facts.store_name}"
    return missing_reference(
        facts.owner, facts.stored, StalledReason.STORE_NOT_FOUND, what, facts.now
    )


def _token_missing(facts: RecordingFacts) -> Readiness | None:
    observed = facts.observed
    if observed.hub_token or ("Secret", facts.owner.workload_name) in observed.children:
        return None
    message = "The stream is being set up."
    return reconciling(ReconcilingReason.STARTING, message, look_again_seconds=_TOKEN_WAIT_SECONDS)


def _default_store(facts: RecordingFacts) -> tuple[Child, ...]:
    """Return the MediaStore ``default``, which a namespace gets at its first Recording."""
    template = facts.observed.settings.default_store
    if facts.observed.store is not None or template is None:
        return ()
    if facts.store_name != DEFAULT_STORE:
        return ()
    manifest = default_store_manifest(facts.owner.namespace, template)
    return (Child(manifest, create_only=True, owned=False),)


# --------------------------------------------------------------------------- after the end


def _after_the_end(facts: RecordingFacts, progress: Progress) -> Decision:
    observed, stored = facts.observed, facts.stored
    readiness = ready(
        ReadyReason.FINISHED, "The Recording is over; no recorder is needed any more."
    )
    if progress.failed:
        readiness = stalled(progress.succeeded.reason, progress.succeeded.message)
    if not progress.terminal and observed.store is None:
        readiness = _store_not_found(facts)
    conditions = conditions_of(facts, progress, readiness)
    calls = store_calls(facts, progress)
    empties = facts.spec.deletion_policy == "Delete" and holds_objects(stored, progress)
    # The finalizer is removed once its session is remembered, and is not added again: the stream
    # may forget the session later.
    released = FINALIZER not in (observed.raw["metadata"].get("finalizers") or ())
    remembered = released or is_remembered(observed.raw, observed.stream)
    return Decision(
        status=status_of(facts, progress),
        conditions=conditions,
        # Until the end is in the status, the recorder is the only source of it.
        deletions=recorder_deletions(facts) if stored.get("endReason") else (),
        store_calls=calls,
        status_when_acknowledged={"storeGeneration": facts.owner.generation} if calls else {},
        finalizer=empties or not remembered,
        # Perhaps nothing changes any more that causes a pass: the recorder may have ended long ago.
        requeue_after_seconds=soonest(
            readiness.look_again_seconds,
            _CLEAN_UP_SECONDS if observed.children and not stored.get("endReason") else None,
            # With deletionPolicy Delete the finalizer stays in any case.
            None if remembered or empties else _REMEMBERED_AGAIN_SECONDS,
        ),
        event_reasons=events_of(facts, progress, conditions),
    )
