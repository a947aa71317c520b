"""The checks before a Recording gets its recorder. They are never repeated after it has begun."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sluice_media.contract import IngestStatus, Session
from sluice_operator.api.v1alpha1.reasons import (
    EndReason,
    ReconcilingReason,
    StalledReason,
    SucceededReason,
)
from sluice_operator.domain.headroom import is_full
from sluice_operator.domain.livestream.sessions import session_is_on
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.readiness import Readiness, reconciling, stalled
from sluice_operator.domain.recording.facts import RecordingFacts
from sluice_operator.domain.recording.state import Progress, never_started, no_space
from sluice_operator.domain.samples import fresh

_ASK_AGAIN_SECONDS = 1.0
_NOT_LIVE = (
    "Stream is not live. Begin to publish and then make a new Recording. Or leave out "
    "startWhenLive: false; the Recording then waits for the stream."
)


def refused_start(facts: RecordingFacts) -> Progress | None:
    """Return the end of a Recording that must not begin.

    None: it may begin, it has begun, or the answer is not known yet."""
    if _has_begun(facts) or facts.presence != "There":
        return None
    if not facts.spec.start_when_live and _was_live(facts) is False:
        return never_started(EndReason.STREAM_NOT_LIVE, SucceededReason.STREAM_NOT_LIVE, _NOT_LIVE)
    if facts.observed.store is not None and is_full(fresh(facts.observed.store_sample)):
        return no_space()
    return None


def store_trouble(store: Raw) -> Readiness | None:
    """Return the fault of the MediaStore that the user must correct; None without one."""
    trouble = Stored.of(store).as_condition("Stalled")
    if trouble is None:
        return None
    return stalled(
        StalledReason.STORE_NOT_READY, f"MediaStore {store['metadata']['name']}: {trouble.message}"
    )


def not_startable(facts: RecordingFacts) -> Readiness | None:
    """Return the obstacle that prevents a recorder at the moment; None without one."""
    if _has_begun(facts):
        return None
    spec = facts.spec
    if facts.presence == "There" and not spec.start_when_live and _was_live(facts) is None:
        message = f"It is not known yet whether LiveStream {spec.stream_ref.name} is live."
        return reconciling(
            ReconcilingReason.STARTING, message, look_again_seconds=_ASK_AGAIN_SECONDS
        )
    return None


def _has_begun(facts: RecordingFacts) -> bool:
    return facts.job is not None or bool(facts.stored.get("recordingStartedAt"))


def _was_live(facts: RecordingFacts) -> bool | None:
    """Return whether the stream had a session when the Recording was made, or has one now; None:
    not known.

    A new hub has no session until it has adopted the one that was on."""
    status, stream = fresh(facts.observed.stream_sample), facts.observed.stream
    if status is None or stream is None:
        return None
    if any(_covers(session, facts.owner.created_at) for session in _sessions(status)):
        return True
    return None if session_is_on(Stored.of(stream)) else False


def _sessions(status: IngestStatus) -> Iterator[Session]:
    if status.session is not None:
        yield status.session
    yield from status.past_sessions


def _covers(session: Session, created_at: datetime) -> bool:
    """Return whether the session was on at ``created_at``. That time is in whole seconds, rounded
    down, so a session that began later in the same second counts."""
    return session.finished_at is None or (
        session.started_at.replace(microsecond=0) <= created_at <= session.finished_at
    )
