"""``autoRecord``: which sessions still need a Recording, and what these Recordings look like.

Once per session, whoever restarts when. The hub lists the sessions of which it holds content. A
session is identified by its start time, which comes from the clock of the node where it started.
The next session may start on another node, whose clock may be an hour behind. So the status lists
the last sessions that have their Recording (``autoRecorded``). Older sessions are covered by one
time (``autoRecordedUntil``), which is never later than the operator's own now.

This memory follows from the Recordings that are there, never from those that are about to be made:
a Recording that could not be made is tried again. A Recording made by ``autoRecord`` may only
vanish once its session stands in the status (`is_remembered`; its finalizer waits for that), so
that deleting it never brings it back, also when the operator was restarted in between.
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
"""Recordings that one pass makes; the next one makes the rest."""
_LISTED_AHEAD = LISTED_SESSIONS // 2
"""Of the listed sessions: those that began later than now, by the clock of a node that is ahead.
They never take all the room, because a right clock needs it too."""


@dataclass(slots=True, frozen=True)
class RecordedSessions:
    """The sessions of a stream that have, or had, their Recording."""

    until: datetime | None = None
    """Every session that started up to this time is among them; never later than now."""
    later: tuple[datetime, ...] = ()
    """Start times of sessions after it: in order up to now, those ahead in order of arrival."""
    present: frozenset[datetime] = frozenset()
    """Start times of the sessions whose Recording is there, listed or not."""

    @classmethod
    def of(cls, stored: Stored) -> RecordedSessions:
        """Read them from the stream's status."""
        later = (parse_time(text) for text in stored.get("autoRecorded") or ())
        return cls(
            stored.time("autoRecordedUntil"),
            tuple(moment for moment in later if moment is not None),
        )

    def __contains__(self, session: datetime) -> bool:
        listed = session in self.later or session in self.present
        return listed or (self.until is not None and session <= self.until)

    def fields(self) -> dict[str, Any]:
        """Return them as fields of the status."""
        return {
            "autoRecordedUntil": exact_text(self.until) if self.until is not None else None,
            "autoRecorded": [exact_text(moment) for moment in self.later] or None,
        }


def session_of(recording: Raw) -> datetime | None:
    """When the session began that a Recording was made for; None: it was made by hand.

    What stands in the status counts first, because anybody may edit an annotation."""
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

    The oldest of those that do not fit into the list raise ``until``. A session that began later
    than ``now`` must not: later sessions of right clocks would count as recorded. Of these the list
    keeps the last that arrived. As long as a Recording exists, its session needs no place in it."""
    known = RecordedSessions.of(stored)
    until = min(known.until, now) if known.until is not None else None
    arrived = _sessions_by_arrival(recordings, stream_uid)
    # A Recording that is there comes after those that are gone or over, in each pass alike.
    order = [moment for moment in known.later if moment not in arrived] + arrived
    unknown = [moment for moment in order if until is None or moment > until]
    ahead = [moment for moment in unknown if moment > now][-_LISTED_AHEAD:]
    begun = sorted(moment for moment in unknown if moment <= now)
    room = LISTED_SESSIONS - len(ahead)
    if len(begun) > room:
        until = begun[-room - 1]
    return RecordedSessions(until, (*begun[-room:], *ahead), frozenset(arrived))


def _sessions_by_arrival(recordings: Iterable[Raw], stream_uid: str) -> list[datetime]:
    """Return the sessions of a stream's automatic Recordings, the one that was made last at the
    end, and after it those that are being deleted: these must be remembered now."""
    found: dict[datetime, tuple[bool, str]] = {}
    for recording in recordings:
        automatic, metadata = automatic_session(recording), recording["metadata"]
        if automatic is not None and automatic[0] == stream_uid:
            arrival = "deletionTimestamp" in metadata, str(metadata["creationTimestamp"])
            found[automatic[1]] = max(arrival, found.get(automatic[1], arrival))
    return sorted(found, key=lambda session: (*found[session], session))


def is_remembered(recording: Raw, stream: Raw | None) -> bool:
    """Whether a Recording may vanish without being made again."""
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
    """When the sessions began that need a Recording, oldest first."""
    if not spec.auto_record or status is None:
        return []
    begun = sorted({session.started_at for session in status.recordable})
    return [moment for moment in begun if moment not in recorded][:_AT_ONCE]


def holds_alone(status: IngestStatus, recorded: RecordedSessions, pins: Iterable[RingPin]) -> bool:
    """Return whether only the pod's disk has all of some session.

    A session whose Recording is over does not count. A hub of the previous version still lists
    it."""
    pinned = {pin.session_started_at for pin in pins}
    begun = (session.started_at for session in status.recordable)
    return any(moment in pinned or moment not in recorded for moment in begun)


def wanted_recordings(
    owner: Owner, spec: LiveStreamSpec, sessions: Sequence[datetime], taken: Set[str]
) -> tuple[Child, ...]:
    """A Recording per session. Made when missing and never touched again; it outlives the stream,
    so that it has no owner.

    ``taken``: those of their `possible_names` that other Recordings have."""
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
    """Names for a session's Recording, the best one first, without an end.

    ``<stream>-<yyyymmdd-hhmmss>``; two sessions of one second are told apart by a number."""
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
            # From the first moment on: it must not be gone before it is remembered.
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
    """Every Recording that is not over: the hub keeps what its recorder does not hold yet."""
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
