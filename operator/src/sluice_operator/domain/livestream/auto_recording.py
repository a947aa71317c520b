"""``autoRecord``: the sessions that still need a Recording, and the manifests of these Recordings.

Each session gets exactly one Recording, also when pods or the operator restart. The hub lists the
sessions of which it holds content. A session is identified by its start time, which comes from the
clock of the node where it started. The next session may start on another node, whose clock may be
an hour behind. So the status lists the last sessions that have their Recording (``autoRecorded``).
Older sessions are covered by one time (``autoRecordedUntil``), which is never later than the
operator's own now.

These fields are computed from Recordings that exist, never from those that are about to be made: a
Recording that could not be made is tried again. A Recording made by ``autoRecord`` may vanish only
after its session is in the status (`is_remembered`; its finalizer waits for that). So a deleted
Recording is never made again, even if the operator was restarted in between.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice_media.contract import IngestStatus, RingPin
from sluice_operator.api.v1alpha1 import LiveStreamSpec, Recording
from sluice_operator.api.v1alpha1.livestream import LISTED_SESSIONS, RecordingTemplate
from sluice_operator.api.v1alpha1.reasons import StalledReason, SucceededReason
from sluice_operator.domain.decision import Child
from sluice_operator.domain.names import (
    API_VERSION,
    AUTOMATIC_LABEL,
    FINALIZER,
    SESSION_ANNOTATION,
    STREAM_LABEL,
    STREAM_UID_ANNOTATION,
)
from sluice_operator.domain.owner import Owner, Stored
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.times import exact_text, parse_time

_NAME_LENGTH = 56
_STREAM_LENGTH = 40
_AT_ONCE = 20
"""Maximum number of Recordings that one pass makes; the next pass makes the rest."""
_LISTED_AHEAD = LISTED_SESSIONS // 2
"""Maximum number of listed sessions that began later than now, by the clock of a node that is
ahead. The rest of the list is for sessions of correct clocks."""


@dataclass(slots=True, frozen=True)
class RecordedSessions:
    """The sessions of a stream that have, or had, their Recording."""

    until: datetime | None = None
    """Time up to which every session that started is recorded; never later than now."""
    later: tuple[datetime, ...] = ()
    """Start times of later sessions. Those up to now come first, sorted; those in the future follow
    in the order of their arrival."""
    present: frozenset[datetime] = frozenset()
    """Start times of the sessions whose Recording exists, listed or not."""

    @classmethod
    def of(cls, stored: Stored) -> RecordedSessions:
        """Read the sessions from the stream's status."""
        later = (parse_time(text) for text in stored.get("autoRecorded") or ())
        return cls(
            stored.time("autoRecordedUntil"),
            tuple(moment for moment in later if moment is not None),
        )

    def __contains__(self, session: datetime) -> bool:
        listed = session in self.later or session in self.present
        return listed or (self.until is not None and session <= self.until)

    def fields(self) -> dict[str, Any]:
        """Return the sessions as fields of the status."""
        return {
            "autoRecordedUntil": exact_text(self.until) if self.until is not None else None,
            "autoRecorded": [exact_text(moment) for moment in self.later] or None,
        }


def session_of(recording: Raw) -> datetime | None:
    """Return the start of the session that a Recording was made for; None if it was made by hand.

    The status takes precedence, because any user may edit an annotation."""
    known = (recording.get("status") or {}).get("sessionStartedAt")
    text = known or (recording["metadata"].get("annotations") or {}).get(SESSION_ANNOTATION)
    try:
        moment = parse_time(text)
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def automatic_session(recording: Raw) -> tuple[str, datetime] | None:
    """Return the uid of the stream that a Recording was made for by ``autoRecord``, and the start
    of the session; None if it was made by hand."""
    metadata = recording["metadata"]
    stream_uid = (metadata.get("annotations") or {}).get(STREAM_UID_ANNOTATION)
    automatic = (metadata.get("labels") or {}).get(AUTOMATIC_LABEL) == "true"
    session = session_of(recording)
    return (stream_uid, session) if automatic and stream_uid and session is not None else None


def recorded_sessions(
    stored: Stored, recordings: Iterable[Raw], stream_uid: str, now: datetime
) -> RecordedSessions:
    """Add the sessions of existing Recordings to those in the status.

    If the list is full, its oldest sessions raise ``until``. A session that began later than
    ``now`` must not raise ``until``: later sessions of correct clocks would count as recorded. The
    list keeps only the last `_LISTED_AHEAD` sessions that began later than ``now``. A session needs
    no place in the list while its Recording exists."""
    known = RecordedSessions.of(stored)
    until = min(known.until, now) if known.until is not None else None
    arrived = _sessions_by_arrival(recordings, stream_uid)
    # Existing Recordings come last, so that the order is the same in each pass.
    order = [moment for moment in known.later if moment not in arrived] + arrived
    unknown = [moment for moment in order if until is None or moment > until]
    ahead = [moment for moment in unknown if moment > now][-_LISTED_AHEAD:]
    begun = sorted(moment for moment in unknown if moment <= now)
    room = LISTED_SESSIONS - len(ahead)
    if len(begun) > room:
        until = begun[-room - 1]
    return RecordedSessions(until, (*begun[-room:], *ahead), frozenset(arrived))


def _sessions_by_arrival(recordings: Iterable[Raw], stream_uid: str) -> list[datetime]:
    """Return the sessions of a stream's automatic Recordings in the order of their creation. Those
    that are being deleted come last, because they must be remembered now."""
    found: dict[datetime, tuple[bool, str]] = {}
    for recording in recordings:
        automatic, metadata = automatic_session(recording), recording["metadata"]
        if automatic is not None and automatic[0] == stream_uid:
            arrival = "deletionTimestamp" in metadata, str(metadata["creationTimestamp"])
            found[automatic[1]] = max(arrival, found.get(automatic[1], arrival))
    return sorted(found, key=lambda session: (*found[session], session))


def is_remembered(recording: Raw, stream: Raw | None) -> bool:
    """Return whether a Recording may vanish without being made again."""
    found = automatic_session(recording)
    if found is None or stream is None or "deletionTimestamp" in stream["metadata"]:
        return True
    stream_uid, session = found
    if stream_uid != stream["metadata"]["uid"]:
        return True
    return session in RecordedSessions.of(Stored.of(stream))


def new_sessions(
    spec: LiveStreamSpec, status: IngestStatus | None, recorded: RecordedSessions
) -> list[datetime]:
    """Return the starts of the sessions that need a Recording, oldest first."""
    if not spec.auto_record or status is None:
        return []
    begun = sorted({session.started_at for session in status.recordable})
    return [moment for moment in begun if moment not in recorded][:_AT_ONCE]


def holds_alone(status: IngestStatus, recorded: RecordedSessions, pins: Iterable[RingPin]) -> bool:
    """Return whether there is a session that is complete on the pod's disk only.

    A session whose Recording is over does not count. A hub of the previous version still lists
    it."""
    pinned = {pin.session_started_at for pin in pins}
    begun = (session.started_at for session in status.recordable)
    return any(moment in pinned or moment not in recorded for moment in begun)


def wanted_recordings(
    owner: Owner, spec: LiveStreamSpec, sessions: Sequence[datetime], taken: Set[str]
) -> tuple[Child, ...]:
    """Return a Recording per session. It is created once and never changed. It has no owner,
    because it outlives the stream.

    ``taken`` are the names among `possible_names` that other Recordings have."""
    template = spec.recording_template or RecordingTemplate()
    names = set(taken)
    found = []
    for session in sessions:
        name = next(n for n in possible_names(owner.name, session) if n not in names)
        names.add(name)
        manifest = _manifest(owner, name, session, template)
        found.append(Child(manifest, create_only=True, owned=False, optional=True))
    return tuple(found)


def possible_names(stream: str, session: datetime) -> Iterator[str]:
    """Yield names for a session's Recording, the preferred one first, without end.

    The form is ``<stream>-<yyyymmdd-hhmmss>``, with a number for a further session of the same
    second."""
    moment = f"{session:%Y%m%d-%H%M%S}"
    for number in itertools.count(1):
        end = f"-{moment}" if number == 1 else f"-{moment}-{number}"
        yield stream[: min(_STREAM_LENGTH, _NAME_LENGTH - len(end))].rstrip("-") + end


def _manifest(
    owner: Owner, name: str, session: datetime, template: RecordingTemplate
) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": Recording.crd.kind,
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": {STREAM_LABEL: owner.name, AUTOMATIC_LABEL: "true"},
            "annotations": {
                SESSION_ANNOTATION: exact_text(session),
                STREAM_UID_ANNOTATION: owner.uid,
            },
            # The finalizer exists from the start: the Recording must not vanish before its session
            # is remembered.
            "finalizers": [FINALIZER],
        },
        "spec": {
            "streamRef": {"name": owner.name},
            "rearmSeconds": 0,
            **template.model_dump(by_alias=True, exclude_none=True, mode="json"),
        },
    }


def _needs_nothing(recording: Raw) -> bool:
    """Return whether the hub need not hold content for this Recording: it is over, its recorder
    takes no more media, or its spec cannot be read and no recorder ever answered."""
    stored = Stored.of(recording)
    succeeded = stored.as_condition("Succeeded")
    reason = succeeded.reason if succeeded is not None else SucceededReason.STARTING
    unreadable = stored.since("Stalled", "True", StalledReason.INVALID_SPEC) is not None
    return (
        bool(stored.get("endReason"))
        or reason == SucceededReason.CLOSING
        or (unreadable and reason == SucceededReason.STARTING)
    )


def pins_of(recordings: Iterable[Raw]) -> list[RingPin]:
    """Return a pin for every Recording that is not over: the hub keeps the media that its recorder
    does not hold yet."""
    found = []
    for recording in recordings:
        metadata = recording["metadata"]
        created = parse_time(metadata["creationTimestamp"])
        if created is None or _needs_nothing(recording):
            continue
        session = session_of(recording)
        pin = RingPin(
            recording_uid=metadata["uid"], since=session or created, session_started_at=session
        )
        found.append(pin)
    return sorted(found, key=lambda pin: pin.recording_uid)
