"""The documentation lists each reason, and no other: conditions, events, phases, end reasons."""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import chain

import pytest

from sluice_media.contract import SpoolReason, StorageReason
from sluice_operator.api.v1alpha1 import reasons
from sluice_operator.api.v1alpha1.reasons import (
    BackupLiveReason,
    CompleteReason,
    EndReason,
    EventReason,
    HeadroomReason,
    LiveReason,
    NoRandomAccessReason,
    PlaybackReadyReason,
    PushReason,
    ReadyReason,
    ReconcilingReason,
    RecordingPhase,
    StalledReason,
    StopLatchedReason,
    StorageReachableReason,
    StreamRecordingReason,
    SucceededReason,
    UpdatePendingReason,
)
from tests.kube.paths import REPOSITORY

Enums = tuple[type[StrEnum], ...]

ROWS: dict[tuple[str, str], Enums] = {
    ("livestream", "Ready"): (ReadyReason,),
    ("livestream", "Live"): (LiveReason,),
    ("livestream", "BackupLive"): (BackupLiveReason,),
    ("livestream", "PlaybackReady"): (PlaybackReadyReason,),
    ("livestream", "Recording"): (StreamRecordingReason,),
    ("livestream", "UpdatePending"): (UpdatePendingReason,),
    ("livestream", "NoRandomAccess"): (NoRandomAccessReason,),
    ("livestream", "Reconciling"): (ReconcilingReason,),
    ("livestream", "Stalled"): (StalledReason,),
    ("recording", "phase"): (RecordingPhase,),
    ("recording", "endReason"): (EndReason,),
    ("recording", "Ready"): (ReadyReason,),
    ("recording", "Succeeded"): (SucceededReason,),
    ("recording", "StorageReachable"): (StorageReachableReason,),
    ("recording", "StorageHeadroom"): (HeadroomReason,),
    ("recording", "Complete"): (CompleteReason,),
    ("recording", "StopLatched"): (StopLatchedReason,),
    ("recording", "Reconciling"): (ReconcilingReason,),
    ("recording", "Stalled"): (StalledReason,),
    ("restream", "Ready"): (ReadyReason,),
    ("restream", "Live"): (PushReason,),
    ("restream", "UpdatePending"): (UpdatePendingReason,),
    ("restream", "Reconciling"): (ReconcilingReason,),
    ("restream", "Stalled"): (StalledReason, PushReason),
    ("mediastore", "Ready"): (ReadyReason,),
    ("mediastore", "StorageHeadroom"): (HeadroomReason,),
    ("mediastore", "Reconciling"): (ReconcilingReason,),
    ("mediastore", "Stalled"): (StalledReason,),
}
"""(page, first word of a row of its status tables) -> the enums that the row's reasons are of. The
first of them is the one that all its rows together must list completely."""
KINDS = sorted({kind for kind, _ in ROWS})
NOT_REASONS = {"True", "False", "Unknown", "Ready", "Reconciling", "Stalled", "Succeeded"}
"""Words of these tables that are statuses and types of conditions."""
NOT_REPORTED = {StorageReason.INVALID_KEY, StorageReason.NOT_FOUND}
"""Reasons that the tables leave out: only a faulty store, or a fault of ours, causes them."""
EVENTS = "\nEvents without a condition:\n"
WORD = re.compile(r"`([A-Z][A-Za-z]+)`")


def section(kind: str, title: str) -> str:
    text = (REPOSITORY / "docs" / f"{kind}.md").read_text("utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def cells(kind: str, word: str) -> str:
    """The row of a condition, or of a field of the status, without its first cell."""
    fields, _, conditions = section(kind, "Status").partition("\nConditions:\n")
    table = conditions.partition(EVENTS)[0] if word[0].isupper() else fields
    [row] = re.findall(rf"^\| `{word}` \|(.*)$", table, re.MULTILINE)
    return str(row)


def named(text: str) -> set[str]:
    return set(WORD.findall(text)) - NOT_REASONS


def values(enums: Enums) -> set[str]:
    return {member.value for member in chain.from_iterable(enums)}


@pytest.mark.parametrize(("kind", "word"), ROWS)
def test_the_documentation_invents_no_reason(kind: str, word: str) -> None:
    assert named(cells(kind, word)) <= values(ROWS[kind, word])


@pytest.mark.parametrize("kind", KINDS)
def test_every_condition_of_the_tables_is_compared(kind: str) -> None:
    table = section(kind, "Status").partition("Conditions:")[2].partition(EVENTS)[0]
    types = set(re.findall(r"^\| `([A-Za-z]+)`", table, re.MULTILINE))
    assert types == {word for page, word in ROWS if page == kind and word[0].isupper()}


def test_the_course_of_playback_names_every_reason() -> None:
    page = section("playback", "Status")
    course = page.partition("| What happens | `PlaybackReady` |")[2]
    table = course.partition("\n\n")[0]
    assert named(table) == values((PlaybackReadyReason,))


@pytest.mark.parametrize("enum", {enums[0]: None for enums in ROWS.values()})
def test_the_documentation_lists_every_reason(enum: type[StrEnum]) -> None:
    rows = [cells(kind, word) for (kind, word), enums in ROWS.items() if enums[0] is enum]
    assert values((enum,)) - set(WORD.findall(" ".join(rows))) == set()


def test_every_enum_of_reasons_is_compared() -> None:
    enums = {found for found in vars(reasons).values() if isinstance(found, type)} - {StrEnum}
    assert enums == {enums[0] for enums in ROWS.values()} | {EventReason}


def test_the_reasons_of_a_storage_are_those_of_the_conditions() -> None:
    reported = values((StorageReason,)) - NOT_REPORTED
    assert reported <= values((StalledReason,))
    of_recorders = reported | values((SpoolReason,))
    assert of_recorders == values((StorageReachableReason,)) - {StorageReachableReason.REACHABLE}


def test_the_documentation_lists_the_events_without_a_condition() -> None:
    tables = [section(kind, "Status").partition(EVENTS)[2] for kind in KINDS]
    listed = re.findall(r"^\| `([A-Za-z]+)` \|", "\n".join(tables), re.MULTILINE)
    assert sorted(listed) == sorted(values((EventReason,)))


def test_the_debugging_tables_explain_each_reason_that_asks_for_the_user() -> None:
    lines = [line for kind in KINDS for line in section(kind, "Debugging").splitlines()]
    first_cells = [line.split("|")[1] for line in lines if line.startswith("|")]
    explained = {word for cell in first_cells if "`Stalled`" in cell for word in named(cell)}
    assert explained == values((StalledReason,))
