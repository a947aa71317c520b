"""A Recording that is being deleted: what it is held for, and for how long.

First its recorder is told to stop and to keep everything; that takes a minute at most, but where
the store takes nothing and chunks still wait on the recorder's disk. Then, with
``deletionPolicy: Retain``, the store is told to finish what there is, and the Recording goes; with
``Delete`` it goes when the store has deleted everything. What cannot be done within ten minutes is
said: nobody waits for ever without knowing what for.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sluice_operator.api.v1alpha1 import RecordingSpec
from sluice_operator.domain.decision import Child, Condition, Decision, Deletion, Notice, StoreCall
from sluice_operator.domain.livestream.auto_recording import is_remembered
from sluice_operator.domain.manifests.recorder import recording_prefix
from sluice_operator.domain.observed import ObservedRecording
from sluice_operator.domain.owner import Owner, Stored, keep_everything
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.recording.parts import (
    job_of,
    recorder_configuration,
    store_call,
    store_name,
    stored_uid,
)
from sluice_operator.domain.recording.state import Course, presence_of
from sluice_operator.domain.samples import in_start_grace, nudges
from sluice_operator.domain.times import parse_time, seconds_until, soonest, utc_text

_GIVE_UP_SECONDS = 55.0
"""A recorder gets so long to close its chunks; kubectl says that it takes a minute."""
DELETION_DEADLINE_SECONDS = 600.0
"""From then on it is said that the store does not do what it shall, and again after as long."""
_LOOK_AGAIN_SECONDS = 2.0
_REMEMBERED_WITHIN_SECONDS = 60.0
_REMEMBER_AGAIN_SECONDS = 0.5
_REPLACED = frozenset({"Ready", "Reconciling", "Stalled"})
_WARNED_AT = "deletionWarnedAt"


def holds_objects(stored: Stored, course: Course) -> bool:
    """Something of the Recording may be in the store."""
    return bool(course.files) or bool(stored.get("recordingStartedAt"))


def decide_deleted(
    observed: ObservedRecording,
    owner: Owner,
    spec: RecordingSpec,
    stored: Stored,
    course: Course,
    now: datetime,
) -> Decision:
    kept = keep_everything(observed.raw)
    age = -seconds_until(owner.deleted_at or now, 0, now)
    if not is_remembered(observed.raw, observed.stream) and age < _REMEMBERED_WITHIN_SECONDS:
        # Else autoRecord would make it again.
        held = replace(kept, finalizer=True, requeue_after_seconds=_REMEMBER_AGAIN_SECONDS)
    else:
        held = kept
    over = course.end_reason is not None
    if not over and _never_ran(observed, owner, stored, course):
        return held
    left = _patience(spec, course) - age
    if not over and left > 0:
        return _closing(observed, owner, spec, stored, kept, left)
    if spec.deletion_policy == "Delete" and (not over or holds_objects(stored, course)):
        return _emptied(observed, owner, spec, stored, kept, held, age, now, over=over)
    return _retained(observed, owner, spec, course, kept, held, age, over=over)


def _patience(spec: RecordingSpec, course: Course) -> float:
    """A recorder that answers and still has chunks on its own disk is not given up: the store is
    away, and what it holds is nowhere else."""
    recorder = course.from_recorder
    holds = recorder is not None and recorder.pending_bytes > 0
    if holds and spec.deletion_policy == "Retain":
        return DELETION_DEADLINE_SECONDS
    return _GIVE_UP_SECONDS


def _never_ran(observed: ObservedRecording, owner: Owner, stored: Stored, course: Course) -> bool:
    """No recorder can have written anything.

    That none was heard proves nothing: a pod that runs, or did, may have written all the same."""
    job = job_of(observed, owner)
    if job is None:
        return True
    if course.from_recorder is not None or stored.get("recordingStartedAt"):
        return False
    if any(pod.phase != "Pending" or pod.last_exit is not None for pod in observed.pods):
        return False
    counts = job.get("status") or {}
    if any(counts.get(count) for count in ("ready", "succeeded", "failed")):
        return False
    return not (observed.pods and in_start_grace(observed.sample, observed.operator_uptime_seconds))


def _closing(
    observed: ObservedRecording,
    owner: Owner,
    spec: RecordingSpec,
    stored: Stored,
    kept: Decision,
    left: float,
) -> Decision:
    """The recorder is told to stop and closes its chunks."""
    config = recorder_configuration(observed, owner, spec, stored, presence_of(observed, stored))
    return replace(
        kept,
        children=(Child(config.manifest),),
        pod_config_hashes=nudges(observed.pods, observed.sample, config.hash),
        finalizer=True,
        requeue_after_seconds=soonest(left),
    )


# --------------------------------------------------------------------------- Retain


def _retained(
    observed: ObservedRecording,
    owner: Owner,
    spec: RecordingSpec,
    course: Course,
    kept: Decision,
    held: Decision,
    age: float,
    *,
    over: bool,
) -> Decision:
    """The store hears that it is on its own. Until it has, the engine does not let go; a store that
    cannot be told for ten minutes is not waited for any longer."""
    result = observed.stored
    finished = result is not None and result.state in {"Done", "Failed"}
    nothing = over and not course.files
    if observed.store is None or finished or nothing or course.terminal:
        return held
    if age >= DELETION_DEADLINE_SECONDS + _GIVE_UP_SECONDS:
        text = (
            f"The pod of MediaStore {store_name(observed.raw)} could not be told to make the files "
            f"of this Recording; the original chunks stay below {_folder(observed)}/."
        )
        return replace(kept, notices=(Notice("Warning", "StoreNotTold", text),))
    gone = not over or job_of(observed, owner) is None
    call = store_call(observed, owner, spec, recorder_gone=gone, occasion="deleted")
    return replace(held, store_calls=(call,))


# --------------------------------------------------------------------------- Delete


def _emptied(
    observed: ObservedRecording,
    owner: Owner,
    spec: RecordingSpec,
    stored: Stored,
    kept: Decision,
    held: Decision,
    age: float,
    now: datetime,
    *,
    over: bool,
) -> Decision:
    """Everything of it goes out of the store, and only then does the Recording go."""
    result = observed.stored
    if result is not None and result.state == "Deleted":
        return held
    if observed.store is None and age >= DELETION_DEADLINE_SECONDS:
        text = (
            f"There is no MediaStore {store_name(observed.raw)} any more, so that nobody can "
            f"delete the files of this Recording: they stay below {_folder(observed)}/."
        )
        return replace(kept, notices=(Notice("Warning", "FilesLeft", text),))
    decision = replace(
        kept,
        # A recorder that does not answer must not write into what is being emptied.
        deletions=() if over else _job(observed, owner),
        store_calls=_deletion_calls(observed, owner, spec, over=over),
        finalizer=True,
        requeue_after_seconds=_LOOK_AGAIN_SECONDS,
    )
    if age < DELETION_DEADLINE_SECONDS:
        return decision
    return _late(decision, _blocked_words(observed, owner), stored, now)


def _job(observed: ObservedRecording, owner: Owner) -> tuple[Deletion, ...]:
    job = job_of(observed, owner)
    if job is None or "deletionTimestamp" in job["metadata"]:
        return ()
    text = "The recorder does not answer; it is taken away, because the Recording is deleted."
    uid = job["metadata"]["uid"]
    return (Deletion("batch/v1", "Job", owner.workload_name, uid, "RecorderGivenUp", text),)


def _deletion_calls(
    observed: ObservedRecording, owner: Owner, spec: RecordingSpec, *, over: bool
) -> tuple[StoreCall, ...]:
    if observed.store is None:
        return ()
    result = observed.stored
    gone = not over or job_of(observed, owner) is None
    told = result is not None and result.state == "Deleting"
    put = store_call(observed, owner, spec, recorder_gone=gone, occasion="deleted")
    delete = store_call(observed, owner, spec, recorder_gone=gone, occasion="deleted", delete=True)
    return (delete,) if told else (put, delete)


def _folder(observed: ObservedRecording) -> str:
    """Where its files are, below the store's own prefix."""
    return recording_prefix(stored_uid(observed.raw))


def _blocked_words(observed: ObservedRecording, owner: Owner) -> str:
    name = store_name(observed.raw)
    trouble = Stored.of(observed.store or {}).as_condition("Stalled")
    if trouble is not None:
        cause = f"MediaStore {name}: {trouble.message}"
    elif observed.stored is None:
        cause = f"The pod of MediaStore {name} does not answer."
    else:
        cause = f"The pod of MediaStore {name} has not finished."
    return (
        f"The files of this Recording could not be deleted yet. {cause} It is tried on. To leave "
        f"the files below {_folder(observed)}/ and let the Recording go, remove its "
        f"finalizer: kubectl patch recording {owner.name} --namespace={owner.namespace} "
        '--type=merge -p \'{"metadata":{"finalizers":null}}\''
    )


def _late(decision: Decision, words: str, stored: Stored, now: datetime) -> Decision:
    """It is said in the conditions, and as an event every ten minutes."""
    conditions = (
        Condition("Ready", "False", "DeletionBlocked", words),
        *(c for c in decision.conditions if c.type not in _REPLACED),
        Condition("Stalled", "True", "DeletionBlocked", words),
    )
    warned: str | None = stored.get(_WARNED_AT)
    warned_at = parse_time(warned)
    notices: tuple[Notice, ...] = ()
    if warned_at is None or seconds_until(warned_at, DELETION_DEADLINE_SECONDS, now) <= 0:
        warned = utc_text(now)
        notices = (Notice("Warning", "DeletionBlocked", words),)
    status: Raw = {**decision.status, _WARNED_AT: warned}
    return replace(decision, status=status, conditions=conditions, notices=notices)
