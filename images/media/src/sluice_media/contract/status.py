"""Status of a pod (``GET /v1/status``), and a store's result for a Recording."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from sluice_media.contract.base import Model
from sluice_media.contract.reasons import HeadroomState

MAX_LISTED_GAPS = 100
"""Maximum number of gaps that a status or a page of results lists for one file. The journal has all
gaps."""


class PodStatus(Model):
    """Head of every ``/v1/status`` answer."""

    role: str
    pod_uid: str
    version: int
    """Counter of changes. A request with ``?version=`` waits for a newer one."""
    observed_at: datetime
    config_generation: int = 0
    config_hash: str = ""
    config_error: str | None = None
    """Sentence for the user: why the pod cannot apply its configuration, e.g. a missing key."""
    config_error_reason: str | None = None
    """Reason word of ``config_error``, e.g. a :class:`ConfigErrorReason`."""


class Session(Model):
    """One session of a stream, on air or ended."""

    started_at: datetime
    finished_at: datetime | None = None
    protocol: str = ""
    media: str = ""
    failovers: int = 0
    end_reason: str | None = None
    """A :class:`SessionEndReason`; None while the session is on."""


class Rejection(Model):
    """Last refusal of a publisher."""

    reason: str
    at: datetime


class Failover(Model):
    """One switch of the output from a leg to another one."""

    at: datetime
    from_: str = Field(alias="from")
    """``Primary`` or ``Backup``; ``Uri <index>`` of a pulled stream."""
    to: str
    gap_milliseconds: int
    """Time without output, in milliseconds."""


class FormatChange(Model):
    """Codec, decoder configuration, picture size or tracks changed within a session."""

    at: datetime
    before: str
    after: str
    """Description for people, e.g. ``h264 1280x720, aac 48000 Hz``."""


class GivenUp(Model):
    """Configuration with which pulling was given up. Another configuration starts it again."""

    generation: int
    restart: str = ""


class PullStatus(Model):
    """State of the sources that a hub pulls from."""

    uri_index: int | None = None
    """Index of the URI that is tried or on air now."""
    delivers: bool = False
    standby_index: int | None = None
    """Index of the URI that is kept connected as a standby."""
    given_up: GivenUp | None = None
    """Set after ``inactivitySeconds`` without media: no source is tried any more."""
    message: str | None = None
    """Cause of the last failure of a source, without its URI."""


class Media(Model):
    """Codecs, picture size and rates of the media on air."""

    video_codec: str | None = None
    audio_codec: str | None = None
    left_out_audio_codec: str | None = None
    """Codec of audio that the source sends and that the stream cannot carry."""
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    bitrate_kbps: int | None = None


class RecordableSession(Model):
    """Session that needs a Recording because of ``autoRecord``. The hub holds content of it."""

    started_at: datetime
    on: bool
    """True until the session has ended."""
    bytes_held: int = 0
    """Bytes of the session on the pod's disk."""


class IngestStatus(PodStatus):
    """Status of a stream's hub."""

    role: Literal["ingest"] = "ingest"
    on_air: bool = False
    """True while the output timeline advances."""
    primary_connected: bool = False
    """True while an accepted publisher has the primary leg."""
    primary_delivers: bool = False
    """True while the primary leg delivers media."""
    backup_connected: bool = False
    backup_delivers: bool = False
    active_source: str | None = None
    """Source of the output: ``Primary``, ``Backup`` or ``Pull``; None off air."""
    failovers: int = 0
    """Number of failovers since the process started."""
    last_failover: Failover | None = None
    format_changes: int = 0
    """Number of format changes since the process started, over all sessions."""
    last_format_change: FormatChange | None = None
    pull: PullStatus | None = None
    interrupted: bool = False
    """True while a session is on and no leg delivers."""
    timeline: str | None = None
    epoch: int = 0
    adopting: bool = False
    """True in the first 10 s of a hub that has had no session yet. It may still continue an earlier
    session, if a gateway sends its last acknowledgement or a reader asks for the session."""
    session: Session | None = None
    """Session that is on, or the last session when none is on."""
    past_sessions: list[Session] = []
    """Ended sessions that this pod saw, newest first, at most ten."""
    recordable: list[RecordableSession] = []
    """Sessions that need a recorder, oldest first. A session leaves the list when a recorder holds
    all of it."""
    media: Media | None = None
    last_rejection: Rejection | None = None
    no_random_access: bool = False
    """True after 10 s of video without a random access point."""
    readers: int = 0


class Gap(Model):
    """Media that is missing in a file."""

    at_seconds: float
    wall_seconds: float


class RecordedFile(Model):
    """One file of a Recording. The recorder fills the first half, the store the rest."""

    index: int
    """Number of the file in its Recording; the first file has 1."""
    name: str
    """File name; it consists of ids."""
    title: str = ""
    state: str
    """A :class:`FileState`."""
    started_at: datetime
    ended_at: datetime | None = None
    duration_seconds: float = 0.0
    size_bytes: int | None = None
    sha256: str | None = None
    uri: str | None = None
    original_uri: str | None = None
    """URI of the chunks' playlist (HLS, VOD), while the store keeps the chunks."""
    expires_at: datetime | None = None
    """Time at which retention deletes the MP4."""
    gaps: list[Gap] = []
    end_reason: str | None = None
    """A :class:`FileEndReason`."""
    message: str | None = None
    """Sentence for the user: the cause of a failure, or a remark on the file."""
    final: bool = False
    """True when a ``Failed`` file is not tried again, because another try cannot succeed."""
    lost_chunks: int = 0
    """Number of chunks that are missing or damaged in the store. ``gaps`` lists the missing
    media."""


class RecorderPhase(StrEnum):
    """Phase of a recorder."""

    WAITING = "Waiting"
    """Nothing is recorded yet."""
    RECORDING = "Recording"
    INTERRUPTED = "Interrupted"
    WAITING_FOR_RETURN = "WaitingForReturn"
    CLOSING = "Closing"
    """The recorder takes no more media; the last chunks are on their way into the store."""
    DONE = "Done"
    """Terminal: every chunk is closed and in the store, and the journal is marked as done."""


class RecorderStatus(PodStatus):
    """Status of a recorder."""

    role: Literal["record"] = "record"
    phase: RecorderPhase = RecorderPhase.WAITING
    earlier_unknown: bool = False
    """True while the recorder does not know what earlier recorders have recorded. Phase, durations
    and files then mean nothing; ``store_error`` is the cause."""
    end_reason: str | None = None
    """A :class:`RecordingEndReason`, when the phase is ``Done``."""
    recording_started_at: datetime | None = None
    recording_duration: float = 0.0
    """Duration of all files together, in seconds."""
    transitions: int = 0
    """Counter of files that began, files that ended and gaps."""
    current_file_duration: float = 0.0
    files: list[RecordedFile] = []
    """Newest files, oldest first: as many as fit into an answer of 256 KiB."""
    older_files: int = 0
    """Number of files that are older than those in ``files``. The store lists them."""
    pending_bytes: int = 0
    """Size of the closed chunks that are not in the store yet."""
    store_error: str | None = None
    """Cause for which chunks cannot be stored now; None while they can."""
    store_error_reason: str | None = None
    """Reason of ``store_error``: a :class:`StorageReason`, or a :class:`SpoolReason` when the
    recorder's own disk fails."""


class TargetError(Model):
    """Error of the last failed push."""

    class_: str = Field(alias="class")
    """A :class:`TargetErrorClass`."""
    message: str
    """Sentence for the user, without a key."""
    at: datetime


class PushState(StrEnum):
    """State of a pusher; :mod:`sluice_media.push.machine` describes each."""

    IDLE = "Idle"
    CONNECTING = "Connecting"
    LIVE = "Live"
    WAITING = "Waiting"
    STALLED = "Stalled"
    BACKOFF = "Backoff"
    REJECTED = "Rejected"
    GAVE_UP = "GaveUp"


class PusherStatus(PodStatus):
    """Status of a pusher."""

    role: Literal["push"] = "push"
    state: PushState = PushState.IDLE
    idle_reason: str | None = None
    """A :class:`PushIdleReason` or :class:`ConfigErrorReason`, when the state is ``Idle``."""
    target: str = ""
    """Redacted address of the target: scheme, host, port and app, never a key."""
    target_digest: str = ""
    """Keyed digest of URI and key (first 16 hex digits of an HMAC-SHA256). The operator finds
    duplicate targets with it. It belongs to the open connection, or to the next one if none is
    open."""
    connected: bool = False
    """True while a connection to the target is being made, is up, or is being closed. A pusher that
    is ``Idle`` may still be closing one."""
    started_at: datetime | None = None
    """Time at which the present connection became ``Live``."""
    attempts: int = 0
    reconnects: int = 0
    bytes_sent: int = 0
    dropped_frames: int = 0
    """Number of pictures (audio frames of a stream without video) that the target did not get
    because it was too slow. It counts from the start of the process."""
    last_error: TargetError | None = None
    message: str | None = None
    """Sentence for the user: what to change, when ``idle_reason`` is CodecMismatch."""


class PlayStatus(PodStatus):
    """Status of a play pod."""

    role: Literal["play"] = "play"
    session: str | None = None
    """Id of the session whose playlists the pod serves; None off air."""
    is_serving: bool = False
    """True when the pod has playlists of the session: its first segment is complete."""
    window_seconds: float = 0.0
    """Media time between the oldest and the newest served segment."""
    keyframe_seconds: float = 0.0
    """Longest distance of two keyframes in the last minute."""
    edge_answers: bool = False
    """True when the edge returned the multivariant playlist of this session to this pod."""
    edge_message: str | None = None
    """Sentence for the user: why the edge does not answer."""


class StoredResult(Model):
    """Answer of a store to ``GET /v1/recordings/<uid>``."""

    uid: str
    state: str
    """A :class:`ResultState`."""
    files: list[RecordedFile] = []
    """Files, oldest first. ``?limit=N`` selects the newest N below ``?before=INDEX``."""
    older_files: int = 0
    """Number of files that are older than the files of this page."""
    end_reason: str | None = None
    recording_started_at: datetime | None = None
    message: str | None = None
    incomplete_reason: str | None = None
    """An :class:`IncompleteReason`, when content was lost or may have been lost."""
    incomplete_message: str | None = None
    """Sentences for the user about ``incomplete_reason``."""
    faulty_segments: int = 0
    """Number of segments of recorders' journals that are missing or damaged."""
    lost_chunks: int = 0
    """Sum of ``lost_chunks`` over all files."""
    kept_chunks: int = 0
    """Number of chunks that are in no MP4 and that the store keeps for some time."""
    kept_since: datetime | None = None
    kept_until: datetime | None = None


class StoreStatus(PodStatus):
    """Status of a MediaStore's pod."""

    role: Literal["store"] = "store"
    writable: bool = False
    message: str | None = None
    """Sentence for the user: why the store is not writable."""
    reason: str | None = None
    """Reason of ``message``: a :class:`StorageReason`."""
    used_bytes: int = 0
    """Size of everything below the prefix, counted in the store itself."""
    available_bytes: int | None = None
    """Free space; None when the storage reports none."""
    headroom: str = HeadroomState.UNKNOWN
    """A :class:`HeadroomState`, for the limit or the volume, whichever is reached first."""
    limit_bytes: int | None = None
    """Limit or size of the volume that ``headroom`` was measured against."""
    seconds_to_full: int | None = None
    """Seconds until the store is full, at the rate of the last minutes; None when it does not
    grow."""
    finalizing: str | None = None
    """Uid of the Recording that is being finalised."""
    changed: dict[str, int] = {}
    """Recording uid -> version of the last change of its result; the latest 200."""
