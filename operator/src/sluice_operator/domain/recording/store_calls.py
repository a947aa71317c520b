"""The calls to the store about a Recording: closed files, its end, its retention."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sluice_media.contract import FileState, ResultState, StoredRecording
from sluice_operator.api.v1alpha1 import RecordingSpec, Retention
from sluice_operator.domain.decision import StoreCall
from sluice_operator.domain.manifests.recorder import recording_prefix, retention_of
from sluice_operator.domain.owner import Owner, Stored
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.recording.facts import RecordingFacts, store_name_in
from sluice_operator.domain.recording.files import OPEN_STATES
from sluice_operator.domain.recording.state import Progress
from sluice_operator.domain.specs import read_spec


@dataclass(slots=True, frozen=True)
class _Report:
    """The part of a call that depends on its occasion."""

    occasion: str
    recorder_gone: bool
    delete: bool = False
    """DELETE instead of PUT."""


def store_calls(facts: RecordingFacts, progress: Progress) -> tuple[StoreCall, ...]:
    """Return the call for a file that was closed, for the end, or for another retention.

    The call does not depend on the store's answers: the store may list a file that it has found by
    itself, and it finishes that file only after the call."""
    if facts.observed.store is None:
        return ()
    result = facts.observed.stored
    closed = sorted(f["index"] for f in progress.files if f["state"] == FileState.FINALIZING)
    ended = progress.end_reason is not None
    is_over = result is not None and result.state in {ResultState.DONE, ResultState.FAILED}
    finishing = not progress.terminal and (closed or (ended and progress.files and not is_over))
    if not finishing and not _retention_is_unknown(facts, progress):
        return ()
    gone = ended and facts.job is None
    occasion = f"closed {closed}, ended {ended}, generation {facts.owner.generation}"
    return (store_call(facts, occasion, recorder_gone=gone),)


def _retention_is_unknown(facts: RecordingFacts, progress: Progress) -> bool:
    """Return whether the store holds files and does not have this generation's retention yet."""
    known = facts.stored.get("storeGeneration")
    if known == facts.owner.generation:
        return False
    if progress.terminal and known is None and facts.spec.retention == Retention():
        return False
    return any(file["state"] not in OPEN_STATES for file in progress.files)


def store_call(
    facts: RecordingFacts, occasion: str, *, recorder_gone: bool, delete: bool = False
) -> StoreCall:
    former, raw = facts.observed.former, facts.observed.raw
    uid = former.uid if former is not None else stored_uid(raw)
    return _call(facts.owner, facts.spec, uid, _Report(occasion, recorder_gone, delete))


def stored_uid(raw: Raw) -> str:
    """Return the uid by which the store knows a Recording: the former one if it was restored."""
    found: str = Stored.of(raw).get("restoredUid") or raw["metadata"]["uid"]
    return found


def farewell(raw: Raw) -> StoreCall | None:
    """Return the call that frees the name of a deleted Recording; None when the store holds
    nothing of it. Raises InvalidSpecError."""
    owner, stored = Owner.of(raw), Stored.of(raw)
    if not stored.get("recordingStartedAt") and not stored.get("files"):
        return None
    spec = read_spec(RecordingSpec, raw)
    over = bool(stored.get("endReason"))
    call = _call(owner, spec, stored_uid(raw), _Report("gone", recorder_gone=over))
    return replace(call, body={**call.body, "deleted": True})


def _call(owner: Owner, spec: RecordingSpec, uid: str, report: _Report) -> StoreCall:
    body = StoredRecording(
        uid=uid,
        name=owner.name,
        namespace=owner.namespace,
        prefix=recording_prefix(uid),
        deleted=owner.deleted_at is not None,
        recorder_gone=report.recorder_gone,
        **retention_of(spec).model_dump(),
    )
    document = body.model_dump(by_alias=True, mode="json")
    return StoreCall(store_name_in(spec), document, report.occasion, report.delete)
