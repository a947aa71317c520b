"""A Recording whose object was made anew, out of Git or of a backup, while its store holds what it
recorded before: it is over already, and starts again only when it is asked to.
"""

from __future__ import annotations

from dataclasses import replace

from sluice_operator.domain.decision import Condition, Decision
from sluice_operator.domain.names import FINALIZER, RESTART_ANNOTATION
from sluice_operator.domain.observed import ObservedRecording
from sluice_operator.domain.owner import Owner, Stored, keep_everything
from sluice_operator.domain.readiness import Readiness, reconciling
from sluice_operator.domain.recording.files import merged_files
from sluice_operator.domain.recording.parts import farewell
from sluice_operator.domain.recording.start import store_trouble
from sluice_operator.domain.recording.state import Course

RESTORED = "Restored"
_ASK_FOR_SECONDS = 120.0
"""A store of a cluster that was just built pulls its image first. Meanwhile the hub keeps what is
to be recorded, from the Recording's creation on."""
_ASK_AGAIN_SECONDS = 2.0
_AT_ONCE_SECONDS = 0.1


def asked_to_restart(owner: Owner, stored: Stored) -> bool:
    """Whether a restored Recording is to begin after all."""
    asked = RESTART_ANNOTATION in owner.annotations and owner.deleted_at is None
    return asked and stored.get("endReason") == RESTORED


def letting_go(observed: ObservedRecording) -> Decision | None:
    """Before a restored Recording begins, its store is told that the name is free; None: it was.

    Else the former Recording would be found again once this one is deleted."""
    call = farewell(observed.raw) if Stored.of(observed.raw).get("restoredUid") else None
    if call is None:
        return None
    return replace(
        keep_everything(observed.raw),
        store_calls=(call,),
        status_when_told={"restoredUid": None},
        finalizer=FINALIZER in (observed.raw["metadata"].get("finalizers") or ()),
        requeue_after_seconds=_AT_ONCE_SECONDS,
    )


def restored_course(observed: ObservedRecording) -> Course | None:
    """The end of a Recording that its store holds already; None: it holds nothing of the name."""
    former = observed.former
    if former is None:
        return None
    words = (
        f"The store holds {_count(len(former.files))} of an earlier Recording of this name, whose "
        "deletion it was never told: nothing is recorded anew. To record anew, set the annotation "
        f"{RESTART_ANNOTATION}."
    )
    succeeded = Condition("Succeeded", "True", RESTORED, words)
    files = merged_files((), (), former.files)
    return Course("Completed", False, succeeded, RESTORED, terminal=True, files=files)


def asking_the_store(observed: ObservedRecording) -> Readiness | None:
    """While it is not known whether the store holds this Recording, no recorder is made."""
    if observed.former_asked_seconds is None or observed.store is None:
        return None
    left = _ASK_FOR_SECONDS - observed.former_asked_seconds
    if left <= 0:
        return None
    trouble = store_trouble(observed.store)
    if trouble is not None:
        return replace(trouble, look_again_seconds=min(_ASK_AGAIN_SECONDS, left))
    name = observed.store["metadata"]["name"]
    words = f"MediaStore {name} is asked whether it holds this Recording already."
    return reconciling("Starting", words, look_again_seconds=min(_ASK_AGAIN_SECONDS, left))


def _count(files: int) -> str:
    return "1 file" if files == 1 else f"{files} files"
