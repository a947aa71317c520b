"""Status out: what a pod answers to ``GET /v1/status``, and a store of its recordings."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from sluice_media.contract.base import Model

MAX_LISTED_GAPS = 100
"""Gaps of one file that a status or a page of results lists; the journal has all of them."""


class PodStatus(Model):
    """Head of every ``/v1/status`` answer."""

    role: str
    pod_uid: str
    version: int
    """Grows with every change; pass it as ``?version=`` to wait for the next."""
    observed_at: datetime
    config_generation: int = 0
    config_hash: str = ""
    config_error: str | None = None
    """A sentence for the user: why the configuration cannot be honoured (a missing key, say)."""
    config_error_reason: str | None = None
    """The same in one word, e.g. SecretKeyMissing or InvalidUri."""


class Session(Model):
    started_at: datetime
    finished_at: datetime | None = None
    protocol: str = ""
    media: str = ""
    failovers: int = 0
    end_reason: str | None = None


class Rejection(Model):
    reason: str
    at: datetime


class Failover(Model):
    """One switch of the output from a leg to another one."""

    at: datetime
    from_: str = Field(alias="from")
    """Primary, Backup, or of a pulled stream ``Uri <index>``."""
    to: str
    gap_milliseconds: int
    """For how long nothing went out."""


class FormatChange(Model):
    """Codec, decoder configuration, picture size or tracks changed within a session."""

    at: datetime
    before: str
    after: str
    """In words, e.g. ``h264 1280x720, aac 48000 Hz``."""


class GivenUp(Model):
    """The configuration in which pulling was given up; another one is tried again."""

    generation: int
    restart: str = ""


class PullStatus(Model):
    uri_index: int | None = None
    """The URI that is tried or on air now."""
    delivers: bool = False
    standby_index: int | None = None
    """The URI that is kept connected beside it."""
    given_up: GivenUp | None = None
    """Set: inactivitySeconds have passed without media, and nothing is tried."""
    message: str | None = None
    """Why the last URI that failed did so; without the URI."""


class Media(Model):
    video_codec: str | None = None
    audio_codec: str | None = None
    left_out_audio_codec: str | None = None
    """Codec of sound that the source sends and that cannot be carried."""
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    bitrate_kbps: int | None = None


class RecordableSession(Model):
    """A session that ``autoRecord`` asks a Recording for, and of which the hub holds content."""

    started_at: datetime
    on: bool
    """It has not ended yet."""
    bytes_held: int = 0
    """On the pod's disk."""


class IngestStatus(PodStatus):
    role: Literal["ingest"] = "ingest"
    on_air: bool = False
    """The output timeline advances."""
    primary_connected: bool = False
    """A publisher was accepted."""
    primary_delivers: bool = False
    backup_connected: bool = False
    backup_delivers: bool = False
    active_source: str | None = None
    """What feeds the output: Primary, Backup or Pull; None off air."""
    failovers: int = 0
    """Since the process started."""
    last_failover: Failover | None = None
    format_changes: int = 0
    """In this session and those before it."""
    last_format_change: FormatChange | None = None
    pull: PullStatus | None = None
    interrupted: bool = False
    """A session is on, but no leg delivers."""
    timeline: str | None = None
    epoch: int = 0
    adopting: bool = False
    """The hub started less than 10 s ago and has had no session yet. It may still continue an
    earlier one, when a gateway brings the map of its times or a reader asks for it."""
    session: Session | None = None
    """The session that is on, or else the last one."""
    past_sessions: list[Session] = []
    """Ended sessions that this pod saw, newest first, at most ten."""
    recordable: list[RecordableSession] = []
    """Oldest first; a session leaves the list when a recorder holds all of it."""
    media: Media | None = None
    last_rejection: Rejection | None = None
    no_random_access: bool = False
    """More than 10 s passed without a picture that decoding can start at."""
    readers: int = 0


class Gap(Model):
    at_seconds: float
    wall_seconds: float


class RecordedFile(Model):
    """One file of a Recording; the recorder fills the first half, the store the rest."""

    index: int
    """1 for the first file of a Recording."""
    name: str
    """File name, made of ids."""
    title: str = ""
    state: Literal[
        "Recording", "Interrupted", "Finalizing", "Ready", "Expired", "Failed", "Discarded"
    ]
    """Expired: retention took it."""
    started_at: datetime
    ended_at: datetime | None = None
    duration_seconds: float = 0.0
    size_bytes: int | None = None
    sha256: str | None = None
    uri: str | None = None
    original_uri: str | None = None
    """The playlist (HLS, VOD) of the chunks, while they are there."""
    expires_at: datetime | None = None
    """When retention takes the MP4."""
    gaps: list[Gap] = []
    end_reason: str | None = None
    """SessionEnded, ParametersChanged, TimelineLost, Split, Stopped, MaxDurationReached or
    StorageLimit."""
    message: str | None = None
    """Why it failed, or what is special about it, in words."""
    final: bool = False
    """With Failed: the store does not try again, because nothing can be better then."""
    lost_chunks: int = 0
    """Chunks that are missing or damaged in the store; ``gaps`` says where media is missing."""


class RecorderPhase(StrEnum):
    WAITING = "Waiting"
    """Nothing recorded yet."""
    RECORDING = "Recording"
    INTERRUPTED = "Interrupted"
    WAITING_FOR_RETURN = "WaitingForReturn"
    CLOSING = "Closing"
    """Nothing more is taken; the last chunks are on their way into the store."""
    DONE = "Done"
    """Terminal: every chunk is closed and in the store, the journal says so."""


class RecorderStatus(PodStatus):
    role: Literal["record"] = "record"
    phase: RecorderPhase = RecorderPhase.WAITING
    earlier_unknown: bool = False
    """The recorder could not learn yet what was recorded before it began: phase, durations and
    files say nothing; ``store_error`` says why."""
    end_reason: str | None = None
    """With Done: Stopped, StreamEnded, TooShort, MaxDurationReached, StorageLimit, or NoSpace: the
    store was full before anything was recorded."""
    recording_started_at: datetime | None = None
    recording_duration: float = 0.0
    """Seconds over all files."""
    transitions: int = 0
    """Grows when a file begins or ends and when a gap was noted."""
    current_file_duration: float = 0.0
    files: list[RecordedFile] = []
    """The newest files, oldest first: as many as fit into an answer of 256 KiB."""
    older_files: int = 0
    """Number of files that are older than those in ``files``; the store lists them."""
    pending_bytes: int = 0
    """Closed chunks that are not in the store yet."""
    store_error: str | None = None
    """Why chunks cannot be stored at the moment; None while they can."""
    store_error_reason: str | None = None
    """The same in one word: AccessDenied, NoSuchBucket, Unreachable, NoSpace, …; Spool… when it is
    the recorder's own disk."""


class TargetError(Model):
    class_: str = Field(alias="class")
    """Dns, Refused, Reset, Timeout, BadName, Unauthorized, Tls, Unsupported, Forbidden,
    Closed."""
    message: str
    at: datetime


class PushState(StrEnum):
    IDLE = "Idle"
    CONNECTING = "Connecting"
    LIVE = "Live"
    WAITING = "Waiting"
    STALLED = "Stalled"
    BACKOFF = "Backoff"
    REJECTED = "Rejected"
    GAVE_UP = "GaveUp"


class PusherStatus(PodStatus):
    role: Literal["push"] = "push"
    state: PushState = PushState.IDLE
    idle_reason: str | None = None
    """With Idle: WaitingForStream, Disabled, CodecMismatch, StreamNotFound or CheckingTarget."""
    target: str = ""
    """Redacted: scheme, host, port and app, never a key."""
    target_digest: str = ""
    """Keyed digest of the URI and key (HMAC-SHA256, first 16 hex), to find duplicate targets
    without knowing them: of the connection that is up, else of what will be dialled."""
    connected: bool = False
    """A connection to the target is being made, is up, or is being closed: also while Idle."""
    started_at: datetime | None = None
    """When the present connection became Live."""
    attempts: int = 0
    reconnects: int = 0
    bytes_sent: int = 0
    dropped_frames: int = 0
    """Pictures (audio frames of a stream without video) that the target did not get, because it
    took less than the stream; since the process started."""
    last_error: TargetError | None = None
    message: str | None = None
    """CodecMismatch: what to change."""


class StoredResult(Model):
    """What a store knows of one Recording: ``GET /v1/recordings/<uid>``."""

    uid: str
    state: Literal["Unknown", "Open", "Finalizing", "Done", "Failed", "Deleting", "Deleted"]
    """Unknown: nothing of it in the store. Open: a recorder still writes. Deleted: nothing of it
    is left, as was asked for."""
    files: list[RecordedFile] = []
    """Oldest first; with ``?limit=N`` the newest N of those below ``?before=INDEX``."""
    older_files: int = 0
    """Number of files that are older than those of this page."""
    end_reason: str | None = None
    recording_started_at: datetime | None = None
    message: str | None = None
    incomplete_reason: str | None = None
    """Content was lost, or may have been: ChunksLost, SegmentMissing, JournalDamaged,
    ChunksUnnamed, ChunksLate or ManifestDamaged."""
    incomplete_message: str | None = None
    """The same in words."""
    faulty_segments: int = 0
    """Segments of recorders' journals that are missing or damaged."""
    lost_chunks: int = 0
    """The sum over all files."""
    kept_chunks: int = 0
    """Chunks that are in no MP4, and are kept for some time."""
    kept_since: datetime | None = None
    kept_until: datetime | None = None


class StoreStatus(PodStatus):
    role: Literal["store"] = "store"
    writable: bool = False
    message: str | None = None
    """Why it is not writable, in words."""
    reason: str | None = None
    used_bytes: int = 0
    """Of everything below the prefix, counted in the store itself."""
    available_bytes: int | None = None
    """Free space, where the storage has an end that can be seen."""
    headroom: Literal["Unknown", "Enough", "AlmostExceeded", "Exceeded"] = "Unknown"
    """Against the limit or the volume, whichever is nearer. Exceeded: nothing can be recorded."""
    limit_bytes: int | None = None
    """What ``headroom`` was measured against: the limit, or the size of the volume."""
    seconds_to_full: int | None = None
    """At the rate of the last minutes; None: it does not grow."""
    finalizing: str | None = None
    """Uid of the Recording being finalised."""
    changed: dict[str, int] = {}
    """Recording uid -> version at which its result changed last; the latest 200."""
