"""A Recording whose object was made anew, from Git or a backup, while its store holds the files of
the former object. It is over already, and starts again only when an annotation requests it.
"""

from __future__ import annotations

from dataclasses import replace

from sluice_operator.api.v1alpha1.reasons import (
    EndReason,
    ReconcilingReason,
    RecordingPhase,
    SucceededReason,
)
from sluice_operator.domain.decision import Condition, Decision
from sluice_operator.domain.names import FINALIZER, RESTART_ANNOTATION
from sluice_operator.domain.observed import ObservedRecording
from sluice_operator.domain.owner import Stored, keep_everything
from sluice_operator.domain.readiness import Readiness, reconciling
from sluice_operator.domain.recording.facts import RecordingFacts
from sluice_operator.domain.recording.files import merged_files
from sluice_operator.domain.recording.start import store_trouble
from sluice_operator.domain.recording.state import Progress, RecordingState
from sluice_operator.domain.recording.store_calls import farewell

_ASK_FOR_SECONDS = 120.0
"""Time for which a store that does not answer is queried again. In a new cluster, the store's pod
must pull its image first. Meanwhile the hub keeps the media since the Recording's creation."""
_ASK_AGAIN_SECONDS = 2.0
_AT_ONCE_SECONDS = 0.1


def restart_requested(facts: RecordingFacts) -> bool:
    """Return whether the user requests that a restored Recording begins."""
    requested = RESTART_ANNOTATION in facts.owner.annotations and not facts.deleted
    return requested and facts.stored.get("endReason") == EndReason.RESTORED


def free_the_name(observed: ObservedRecording) -> Decision | None:
    """Return the decision that frees the name in the store before a restored Recording begins;
    None when the store has done that.

    Without that, a later Recording of this name would find the former Recording in the store
    again."""
    call = farewell(observed.raw) if Stored.of(observed.raw).get("restoredUid") else None
    if call is None:
        return None
    return replace(
        keep_everything(observed.raw),
        store_calls=(call,),
        status_when_acknowledged={"restoredUid": None},
        finalizer=FINALIZER in (observed.raw["metadata"].get("finalizers") or ()),
        requeue_after_seconds=_AT_ONCE_SECONDS,
    )


def restored_progress(facts: RecordingFacts) -> Progress | None:
    """Return the end of a Recording that its store holds already; None when it holds none."""
    former = facts.observed.former
    if former is None:
        return None
    message = (
        f"The store holds {_count(len(former.files))} of an earlier Recording of this name and got "
        "no notice of its deletion, so nothing is recorded. To record again, set the annotation "
        f"{RESTART_ANNOTATION} to any value."
    )
    succeeded = Condition("Succeeded", "True", SucceededReason.RESTORED, message)
    files = merged_files((), (), former.files)
    return Progress(
        RecordingState.COMPLETED, RecordingPhase.COMPLETED, succeeded, files, EndReason.RESTORED
    )


def store_not_asked(observed: ObservedRecording) -> Readiness | None:
    """Return the obstacle while it is not known whether the store holds this Recording."""
    if observed.former_asked_seconds is None or observed.store is None:
        return None
    left = _ASK_FOR_SECONDS - observed.former_asked_seconds
    if left <= 0:
        return None
    trouble = store_trouble(observed.store)
    if trouble is not None:
        return replace(trouble, look_again_seconds=min(_ASK_AGAIN_SECONDS, left))
    name = observed.store["metadata"]["name"]
    message = f"Checking whether MediaStore {name} already holds a Recording of this name."
    return reconciling(
        ReconcilingReason.STARTING, message, look_again_seconds=min(_ASK_AGAIN_SECONDS, left)
    )


def _count(files: int) -> str:
    return "1 file" if files == 1 else f"{files} files"
