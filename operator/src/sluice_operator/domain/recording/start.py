"""Whether a Recording may begin: what is checked before there is a recorder, and never after."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sluice_media.contract import IngestStatus, Session
from sluice_operator.api.v1alpha1 import RecordingSpec
from sluice_operator.domain.headroom import is_full
from sluice_operator.domain.livestream.sessions import session_is_on
from sluice_operator.domain.observed import ObservedRecording
from sluice_operator.domain.owner import Owner, Stored
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.readiness import Readiness, reconciling, stalled
from sluice_operator.domain.recording.parts import job_of
from sluice_operator.domain.recording.state import (
    Course,
    StreamPresence,
    never_started,
    no_space,
)
from sluice_operator.domain.samples import fresh

_ASK_AGAIN_SECONDS = 1.0
_NOT_LIVE = (
    "Stream is not live. Begin to publish and then make a new Recording, or leave out "
    "startWhenLive: false, so that the Recording waits for the stream."
)


def refused_start(
    observed: ObservedRecording,
    owner: Owner,
    spec: RecordingSpec,
    stored: Stored,
    presence: StreamPresence,
) -> Course | None:
    """The end of a Recording that must not begin; None: it may, or has, or is not known yet."""
    if _has_begun(observed, owner, stored) or presence != "There":
        return None
    if not spec.start_when_live and _was_live(observed, owner) is False:
        return never_started("StreamNotLive", "StreamNotLive", _NOT_LIVE)
    if observed.store is not None and is_full(fresh(observed.store_sample)):
        return no_space()
    return None


def store_trouble(store: Raw) -> Readiness | None:
    """What the MediaStore says that its user must put right."""
    trouble = Stored.of(store).as_condition("Stalled")
    if trouble is None:
        return None
    return stalled("StoreNotReady", f"MediaStore {store['metadata']['name']}: {trouble.message}")


def not_startable(
    observed: ObservedRecording,
    owner: Owner,
    spec: RecordingSpec,
    stored: Stored,
    presence: StreamPresence,
) -> Readiness | None:
    """Why no recorder is made at the moment."""
    if _has_begun(observed, owner, stored):
        return None
    if presence == "There" and not spec.start_when_live and _was_live(observed, owner) is None:
        words = f"Whether LiveStream {spec.stream_ref.name} is live is not known at the moment."
        return reconciling("Starting", words, look_again_seconds=_ASK_AGAIN_SECONDS)
    return None


def _has_begun(observed: ObservedRecording, owner: Owner, stored: Stored) -> bool:
    return job_of(observed, owner) is not None or bool(stored.get("recordingStartedAt"))


def _was_live(observed: ObservedRecording, owner: Owner) -> bool | None:
    """Whether a session was on when the Recording was made, or is now; None: not known.

    A hub that has just come up knows of no session until it has adopted the one that was on."""
    status = fresh(observed.stream_sample)
    if status is None or observed.stream is None:
        return None
    if any(_covers(session, owner.created_at) for session in _sessions(status)):
        return True
    return None if session_is_on(Stored.of(observed.stream)) else False


def _sessions(status: IngestStatus) -> Iterator[Session]:
    if status.session is not None:
        yield status.session
    yield from status.past_sessions


def _covers(session: Session, created_at: datetime) -> bool:
    """Creation times are whole seconds, rounded down: whoever was on air in the second counts."""
    return session.finished_at is None or (
        session.started_at.replace(microsecond=0) <= created_at <= session.finished_at
    )
