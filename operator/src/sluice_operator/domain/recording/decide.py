"""Recording: its recorder, its end, and what its status says.

A Recording runs in three stretches: the recorder works (a Job); the recorder is done and the store
makes the files; it is over, and only the status is left. ``endReason`` in the status separates the
first from the second, condition Succeeded the second from the third.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sluice_operator.api.v1alpha1 import DEFAULT_STORE, RecordingSpec
from sluice_operator.domain.decision import Child, Decision, Deletion
from sluice_operator.domain.livestream.auto_recording import is_remembered
from sluice_operator.domain.manifests.config import Configuration
from sluice_operator.domain.manifests.place import store_place
from sluice_operator.domain.manifests.recorder import recorder_job
from sluice_operator.domain.manifests.secret import token_secret
from sluice_operator.domain.manifests.store import default_store_manifest
from sluice_operator.domain.names import FINALIZER, STATUS_SECRET
from sluice_operator.domain.observed import ObservedRecording
from sluice_operator.domain.owner import Owner, Stored
from sluice_operator.domain.readiness import (
    Readiness,
    conflict_readiness,
    missing_reference,
    pod_readiness,
    ready,
    reconciling,
    stalled,
    with_places,
)
from sluice_operator.domain.recording.deletion import decide_deleted, holds_objects
from sluice_operator.domain.recording.parts import (
    conditions_of,
    events_of,
    job_of,
    recorder_configuration,
    status_of,
    store_calls,
    store_name,
)
from sluice_operator.domain.recording.restored import (
    asked_to_restart,
    asking_the_store,
    letting_go,
    restored_course,
)
from sluice_operator.domain.recording.start import not_startable, refused_start, store_trouble
from sluice_operator.domain.recording.state import (
    Course,
    StreamPresence,
    course_of,
    is_stopped,
    never_started,
    presence_of,
    recorder_lost,
)
from sluice_operator.domain.samples import fresh, in_start_grace, nudges, seconds_to_stale
from sluice_operator.domain.specs import read_spec
from sluice_operator.domain.streams import stream_workload
from sluice_operator.domain.ticks import hold_ticks
from sluice_operator.domain.times import soonest

_TOKEN_WAIT_SECONDS = 1.0
_REMEMBERED_AGAIN_SECONDS = 30.0
_CLEAN_UP_SECONDS = 0.1
"""From the pass that writes the end to the one that may take the recorder away."""


def decide(observed: ObservedRecording, now: datetime) -> Decision:
    """The complete wish for one Recording. Pure."""
    owner, stored = Owner.of(observed.raw), Stored.of(observed.raw)
    spec = read_spec(RecordingSpec, observed.raw)
    if asked_to_restart(owner, stored):
        decision = letting_go(observed)
        if decision is not None:
            return decision
        observed, stored = replace(observed, stored=None), Stored({})
    presence = presence_of(observed, stored)
    course = restored_course(observed) or course_of(observed, spec, stored, presence)
    if owner.deleted_at is not None:
        return decide_deleted(observed, owner, spec, stored, course, now)
    if course.end_reason is not None:
        return _after_the_end(observed, owner, spec, stored, presence, course, now)
    return _at_work(observed, owner, spec, stored, presence, course, now)


# --------------------------------------------------------------------------- at work


def _at_work(
    observed: ObservedRecording,
    owner: Owner,
    spec: RecordingSpec,
    stored: Stored,
    presence: StreamPresence,
    course: Course,
    now: datetime,
) -> Decision:
    conflict = conflict_readiness(owner, observed.conflicts)
    asking = asking_the_store(observed)
    obstacle = (
        conflict
        or asking
        or not_startable(observed, owner, spec, stored, presence)
        or _stream_missing(owner, spec, stored, presence, now)
        or _store_missing(observed, owner, stored, now)
        or _token_missing(observed, owner)
    )
    recorder_state = _readiness(observed, owner, stored, now)
    over = None
    if asking is None:
        over = refused_start(observed, owner, spec, stored, presence)
    over = over or _given_up(observed, owner, spec, stored, presence, recorder_state)
    if over is not None:
        return _after_the_end(observed, owner, spec, stored, presence, over, now)
    readiness = obstacle or recorder_state
    config = recorder_configuration(observed, owner, spec, stored, presence)
    # A recorder that is there hears of a stop whatever else is missing.
    reachable = conflict is None and (obstacle is None or job_of(observed, owner) is not None)
    children: tuple[Child, ...] = ()
    if conflict is None:
        children = _default_store(observed, owner)
    if reachable:
        children += _children(observed, owner, config)
    status, held = hold_ticks(status_of(observed, owner, stored, presence, course), stored.status)
    conditions = conditions_of(observed, readiness, course, spec, stored)
    calls = store_calls(observed, owner, spec, stored, course)
    return Decision(
        status=status,
        conditions=conditions,
        children=children,
        pod_config_hashes=nudges(observed.pods, observed.sample, config.hash) if reachable else (),
        store_calls=calls,
        status_when_told={"storeGeneration": owner.generation} if calls else {},
        finalizer=reachable
        or job_of(observed, owner) is not None
        or not is_remembered(observed.raw, observed.stream),
        requeue_after_seconds=soonest(
            held,
            readiness.look_again_seconds,
            seconds_to_stale(observed.sample, observed.operator_uptime_seconds),
        ),
        event_reasons=events_of(stored, conditions, course),
    )


def _given_up(
    observed: ObservedRecording,
    owner: Owner,
    spec: RecordingSpec,
    stored: Stored,
    presence: StreamPresence,
    recorder: Readiness,
) -> Course | None:
    """The end, when it was stopped or its stream went while no recorder can be started.

    Nobody would ever end it else: a stop is carried out by the recorder."""
    not_asked_yet = in_start_grace(observed.sample, observed.operator_uptime_seconds)
    at_work = fresh(observed.sample) is not None or not_asked_yet or not recorder.stalled
    if at_work or job_of(observed, owner) is None:
        return None
    if not is_stopped(spec, stored) and presence != "Gone":
        return None
    if stored.get("recordingStartedAt"):
        return recorder_lost(observed, stored)
    reason = "Stopped" if is_stopped(spec, stored) else "StreamEnded"
    words = f"The recorder could not be started, so nothing was recorded. {recorder.message}"
    return never_started(reason, "NothingRecorded", words)


def _stream_missing(
    owner: Owner,
    spec: RecordingSpec,
    stored: Stored,
    presence: StreamPresence,
    now: datetime,
) -> Readiness | None:
    """Only a stream that never was there is missing; one that went ends the Recording."""
    if presence != "NeverSeen":
        return None
    what = f"LiveStream {spec.stream_ref.name}"
    return missing_reference(owner, stored, "StreamNotFound", what, now)


def _store_missing(
    observed: ObservedRecording, owner: Owner, stored: Stored, now: datetime
) -> Readiness | None:
    if observed.store is not None:
        return None
    if _default_store(observed, owner):
        return reconciling("Starting", "The MediaStore default is being made.")
    what = f"MediaStore {store_name(observed.raw)}"
    return missing_reference(owner, stored, "StoreNotFound", what, now)


def _token_missing(observed: ObservedRecording, owner: Owner) -> Readiness | None:
    if observed.hub_token or ("Secret", owner.workload_name) in observed.children:
        return None
    words = "The stream is being set up."
    return reconciling("Starting", words, look_again_seconds=_TOKEN_WAIT_SECONDS)


def _default_store(observed: ObservedRecording, owner: Owner) -> tuple[Child, ...]:
    """A namespace without the MediaStore ``default`` gets one at its first Recording."""
    template = observed.settings.default_store
    if observed.store is not None or template is None:
        return ()
    if store_name(observed.raw) != DEFAULT_STORE:
        return ()
    manifest = default_store_manifest(owner.namespace, template)
    return (Child(manifest, create_only=True, owned=False),)


def _children(
    observed: ObservedRecording, owner: Owner, config: Configuration
) -> tuple[Child, ...]:
    children = [Child(config.manifest)]
    if observed.hub_token:
        secret = token_secret(owner, STATUS_SECRET["Recording"], observed.hub_token)
        children.insert(0, Child(secret))
    if observed.store is not None:
        workload = stream_workload(observed.stream)
        place = store_place(observed.store)
        job = recorder_job(owner, observed.settings, place, workload)
        children.append(Child(job, create_only=True))
    return tuple(children)


def _readiness(
    observed: ObservedRecording, owner: Owner, stored: Stored, now: datetime
) -> Readiness:
    found = pod_readiness(
        owner,
        stored,
        what="recorder",
        pods=observed.pods,
        sample=observed.sample,
        workload=job_of(observed, owner),
        operator_uptime_seconds=observed.operator_uptime_seconds,
        trouble_seconds=observed.settings.pod_trouble_seconds,
        now=now,
        when_ready=ready("Configured", "The recorder is in place."),
    )
    if found.status != "True" and fresh(observed.sample) is None and observed.store is not None:
        trouble = store_trouble(observed.store)
        if trouble is not None:
            return trouble
    secrets = store_place(observed.store).secrets if observed.store is not None else ()
    return with_places(found, secrets)


# --------------------------------------------------------------------------- after the end


def _after_the_end(
    observed: ObservedRecording,
    owner: Owner,
    spec: RecordingSpec,
    stored: Stored,
    presence: StreamPresence,
    course: Course,
    now: datetime,
) -> Decision:
    readiness = ready("Finished", "It is over; no recorder is needed any more.")
    if course.failed:
        readiness = stalled(course.succeeded.reason, course.succeeded.message)
    if not course.terminal and observed.store is None:
        what = f"MediaStore {store_name(observed.raw)}"
        readiness = missing_reference(owner, stored, "StoreNotFound", what, now)
    status = status_of(observed, owner, stored, presence, course)
    conditions = conditions_of(observed, readiness, course, spec, stored)
    calls = store_calls(observed, owner, spec, stored, course)
    empties = spec.deletion_policy == "Delete" and holds_objects(stored, course)
    # It is let go once. Its stream may forget such a session later.
    released = FINALIZER not in (observed.raw["metadata"].get("finalizers") or ())
    remembered = released or is_remembered(observed.raw, observed.stream)
    return Decision(
        status=status,
        conditions=conditions,
        # Only once the end stands in the status: until then the recorder is the only witness.
        deletions=_deletions(observed, owner) if stored.get("endReason") else (),
        store_calls=calls,
        status_when_told={"storeGeneration": owner.generation} if calls else {},
        finalizer=empties or not remembered,
        # Nothing else may happen that has us look again: the recorder may be gone for long.
        requeue_after_seconds=soonest(
            readiness.look_again_seconds,
            _CLEAN_UP_SECONDS if observed.children and not stored.get("endReason") else None,
            # One whose files go with it keeps the finalizer in any case.
            None if remembered or empties else _REMEMBERED_AGAIN_SECONDS,
        ),
        event_reasons=events_of(stored, conditions, course),
    )


def _deletions(observed: ObservedRecording, owner: Owner) -> tuple[Deletion, ...]:
    """The Job and what only it needed."""
    found = []
    for (kind, name), child in sorted(observed.children.items()):
        if kind not in {"Job", "ConfigMap", "Secret"} or name != owner.workload_name:
            continue
        found.append(
            Deletion(
                api_version="batch/v1" if kind == "Job" else "v1",
                kind=kind,
                name=name,
                uid=child["metadata"]["uid"],
                # One event for all three.
                reason="RecorderFinished" if kind == "Job" else "",
                text="The Recording is over; its recorder is taken away.",
            )
        )
    return tuple(found)
