"""The deletion of a Recording: what its finalizer waits for, and for how long.

1. The recorder stops and keeps everything. That takes a minute at most, or up to ten while chunks
   on its disk wait for a store that does not answer.
2. With ``deletionPolicy: Retain`` the store is called to make the files of the chunks that it has,
   and the Recording vanishes. With ``Delete`` the Recording vanishes when the store has deleted
   everything.

A wait of more than ten minutes ends, or is reported as a condition and an event.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sluice_media.contract import ResultState
from sluice_operator.api.v1alpha1.reasons import EventReason, StalledReason
from sluice_operator.domain.decision import Child, Condition, Decision, Deletion, Notice, StoreCall
from sluice_operator.domain.livestream.auto_recording import is_remembered
from sluice_operator.domain.manifests.recorder import recording_prefix
from sluice_operator.domain.owner import Stored, keep_everything
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.recording.facts import RecordingFacts
from sluice_operator.domain.recording.recorder import recorder_configuration
from sluice_operator.domain.recording.state import Progress
from sluice_operator.domain.recording.store_calls import store_call, stored_uid
from sluice_operator.domain.samples import nudges
from sluice_operator.domain.times import parse_time, seconds_until, soonest, utc_text

_GIVE_UP_SECONDS = 55.0
"""Time that a recorder has to close its chunks; the documentation promises a minute."""
DELETION_DEADLINE_SECONDS = 600.0
"""Time until a deletion that does not succeed is reported, and between two reports."""
_LOOK_AGAIN_SECONDS = 2.0
_ANSWER_AGAIN_SECONDS = 5.0
"""Pause before the answer of a recorder is looked at again that holds chunks for a sick store."""
_REMEMBERED_WITHIN_SECONDS = 60.0
_REMEMBER_AGAIN_SECONDS = 0.5
_REPLACED = frozenset({"Ready", "Reconciling", "Stalled"})
_WARNED_AT = "deletionWarnedAt"


def holds_objects(stored: Stored, progress: Progress) -> bool:
    """Return whether objects of the Recording may be in the store."""
    return bool(progress.files) or bool(stored.get("recordingStartedAt"))


@dataclass(slots=True, frozen=True)
class _Deletion:
    """A Recording that is being deleted."""

    facts: RecordingFacts
    progress: Progress
    kept: Decision
    """Decision that changes nothing and removes the finalizer."""
    released: Decision
    """Decision for the end of the deletion. An automatic Recording may still wait until its session
    is remembered."""
    age_seconds: float
    """Time since the deletion was requested."""

    @property
    def recorder_done(self) -> bool:
        return self.progress.end_reason is not None

    @property
    def recorder_gone(self) -> bool:
        """True when no recorder writes any more, or the time to wait for its answer has passed."""
        return not self.recorder_done or self.facts.job is None

    @property
    def folder(self) -> str:
        """The Recording's folder, below the store's own prefix."""
        return recording_prefix(stored_uid(self.facts.observed.raw))


def decide_deleted(facts: RecordingFacts, progress: Progress) -> Decision:
    observed = facts.observed
    kept = keep_everything(observed.raw)
    age = -seconds_until(facts.owner.deleted_at or facts.now, 0, facts.now)
    released = kept
    if not is_remembered(observed.raw, observed.stream) and age < _REMEMBERED_WITHIN_SECONDS:
        # Otherwise autoRecord would make the Recording again.
        released = replace(kept, finalizer=True, requeue_after_seconds=_REMEMBER_AGAIN_SECONDS)
    deletion = _Deletion(facts, progress, kept, released, age)
    over = deletion.recorder_done
    if not over and _never_ran(facts, progress):
        return released
    left = _patience(facts, progress) - age
    if not over and left > 0:
        # A recorder that does not answer any more loses the longer patience.
        next_look = max(_GIVE_UP_SECONDS - age, _ANSWER_AGAIN_SECONDS)
        return _closing(facts, kept, min(left, next_look))
    empties = facts.spec.deletion_policy == "Delete"
    if empties and (not over or holds_objects(facts.stored, progress)):
        return _emptied(deletion)
    return _retained(deletion)


def _patience(facts: RecordingFacts, progress: Progress) -> float:
    """Return the seconds to wait for the recorder. The time is longer while chunks wait for a store
    that does not answer, because only the recorder's disk has these chunks."""
    recorder = progress.from_recorder
    holds = recorder is not None and recorder.pending_bytes > 0
    if holds and facts.spec.deletion_policy == "Retain":
        return DELETION_DEADLINE_SECONDS
    return _GIVE_UP_SECONDS


def _never_ran(facts: RecordingFacts, progress: Progress) -> bool:
    """Return whether no recorder can have written anything.

    A missing answer proves nothing: a pod that runs, or ran, may have written without an answer."""
    observed, job = facts.observed, facts.job
    if job is None:
        return True
    if progress.from_recorder is not None or facts.stored.get("recordingStartedAt"):
        return False
    if any(pod.phase != "Pending" or pod.last_exit is not None for pod in observed.pods):
        return False
    counts = job.get("status") or {}
    if any(counts.get(count) for count in ("ready", "succeeded", "failed")):
        return False
    return not (observed.pods and facts.in_start_grace)


def _closing(facts: RecordingFacts, kept: Decision, left: float) -> Decision:
    """Have the recorder stop and close its chunks."""
    config = recorder_configuration(facts)
    return replace(
        kept,
        children=(Child(config.manifest),),
        pod_config_hashes=nudges(facts.observed.pods, facts.observed.sample, config.hash),
        finalizer=True,
        requeue_after_seconds=soonest(left),
    )


# --------------------------------------------------------------------------- Retain


def _retained(deletion: _Deletion) -> Decision:
    """Call the store to finish without the recorder. The engine keeps the finalizer until the store
    acknowledges the call, for ten minutes at most."""
    facts, result = deletion.facts, deletion.facts.observed.stored
    finished = result is not None and result.state in {ResultState.DONE, ResultState.FAILED}
    nothing = deletion.recorder_done and not deletion.progress.files
    if facts.observed.store is None or finished or nothing or deletion.progress.terminal:
        return deletion.released
    if deletion.age_seconds >= DELETION_DEADLINE_SECONDS + _GIVE_UP_SECONDS:
        text = (
            f"The pod of MediaStore {facts.store_name} did not answer for ten minutes, so the "
            "deletion of this Recording was not reported to it. The original chunks stay below "
            f"{deletion.folder}/."
        )
        return replace(
            deletion.kept, notices=(Notice("Warning", EventReason.STORE_NOT_TOLD, text),)
        )
    call = store_call(facts, "deleted", recorder_gone=deletion.recorder_gone)
    return replace(deletion.released, store_calls=(call,))


# --------------------------------------------------------------------------- Delete


def _emptied(deletion: _Deletion) -> Decision:
    """Have the store delete all objects of the Recording; only then the Recording vanishes."""
    facts, result = deletion.facts, deletion.facts.observed.stored
    late = deletion.age_seconds >= DELETION_DEADLINE_SECONDS
    if result is not None and result.state == ResultState.DELETED:
        return deletion.released
    if facts.observed.store is None and late:
        text = (
            f"MediaStore {facts.store_name} does not exist any more, so the files of this "
            f"Recording cannot be deleted. They stay below {deletion.folder}/."
        )
        return replace(deletion.kept, notices=(Notice("Warning", EventReason.FILES_LEFT, text),))
    decision = replace(
        deletion.kept,
        # A recorder that does not answer must not write into the folder that is being emptied.
        deletions=() if deletion.recorder_done else _job_deletion(facts),
        store_calls=_deletion_calls(deletion),
        finalizer=True,
        requeue_after_seconds=_LOOK_AGAIN_SECONDS,
    )
    return _report_late(deletion, decision) if late else decision


def _job_deletion(facts: RecordingFacts) -> tuple[Deletion, ...]:
    job = facts.job
    if job is None or "deletionTimestamp" in job["metadata"]:
        return ()
    text = "The recorder does not answer and the Recording is being deleted, so its Job is deleted."
    uid = job["metadata"]["uid"]
    return (
        Deletion(
            "batch/v1", "Job", facts.owner.workload_name, uid, EventReason.RECORDER_GIVEN_UP, text
        ),
    )


def _deletion_calls(deletion: _Deletion) -> tuple[StoreCall, ...]:
    facts, gone = deletion.facts, deletion.recorder_gone
    if facts.observed.store is None:
        return ()
    result = facts.observed.stored
    delete = store_call(facts, "deleted", recorder_gone=gone, delete=True)
    if result is not None and result.state == ResultState.DELETING:
        return (delete,)
    return (store_call(facts, "deleted", recorder_gone=gone), delete)


def _blocked_message(deletion: _Deletion) -> str:
    facts = deletion.facts
    name, owner = facts.store_name, facts.owner
    trouble = Stored.of(facts.observed.store or {}).as_condition("Stalled")
    if trouble is not None:
        cause = f"MediaStore {name}: {trouble.message}"
    elif facts.observed.stored is None:
        cause = f"The pod of MediaStore {name} does not answer."
    else:
        cause = f"The pod of MediaStore {name} has not finished."
    return (
        f"The files of this Recording could not be deleted yet. {cause} It is tried again. To "
        f"leave the files below {deletion.folder}/ and delete the Recording alone, remove its "
        f"finalizer: kubectl patch recording {owner.name} --namespace={owner.namespace} "
        '--type=merge -p \'{"metadata":{"finalizers":null}}\''
    )


def _report_late(deletion: _Deletion, decision: Decision) -> Decision:
    """Report the blocked deletion in the conditions, and as an event every ten minutes."""
    message, now = _blocked_message(deletion), deletion.facts.now
    conditions = (
        Condition("Ready", "False", StalledReason.DELETION_BLOCKED, message),
        *(c for c in decision.conditions if c.type not in _REPLACED),
        Condition("Stalled", "True", StalledReason.DELETION_BLOCKED, message),
    )
    warned: str | None = deletion.facts.stored.get(_WARNED_AT)
    warned_at = parse_time(warned)
    notices: tuple[Notice, ...] = ()
    if warned_at is None or seconds_until(warned_at, DELETION_DEADLINE_SECONDS, now) <= 0:
        warned = utc_text(now)
        notices = (Notice("Warning", EventReason.DELETION_BLOCKED, message),)
    status: Raw = {**decision.status, _WARNED_AT: warned}
    return replace(decision, status=status, conditions=conditions, notices=notices)
