"""The contract between the planes: configuration in, status out, and the headers on the wire.

This module is the one thing that the operator and the media pods share; importing it needs
pydantic alone. JSON names are camelCase, as everywhere in Kubernetes. Every model tolerates
fields that it does not know, because a pod of the previous version must understand this one.

Ports and paths
    :data:`HUB_PORT`     legs in (``POST /v1/legs``) and timeline out (``GET /v1/timeline``)
    :data:`STATUS_PORT`  ``GET /v1/status`` (long poll), ``/metrics``, ``/healthz``, ``/readyz``
    :data:`STORE_PORT`   the store's ``/v1/recordings``

Files in a pod
    :data:`CONFIG_FILE`  the role's configuration (a ConfigMap), watched
    :data:`KEYS_DIR`     tokens and keys (Secrets), one file each, watched
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

HUB_PORT = 9000
STATUS_PORT = 9100
STORE_PORT = 9200
RTMP_PORT = 1935

CONFIG_DIR = "/etc/sluice/config"
CONFIG_FILE = f"{CONFIG_DIR}/config.json"
KEYS_DIR = "/etc/sluice/keys"
INGEST_TOKEN_FILE = "ingest/token"
"""Below KEYS_DIR: the publisher's key of the primary leg."""
HUB_TOKEN_FILE = "hub/token"
"""Below KEYS_DIR: what readers of the timeline and of /v1/status present as a bearer token."""
STORE_TOKEN_FILE = "store/token"
"""Below KEYS_DIR: what a store's ``/v1/recordings`` wants as a bearer token; without this file
HUB_TOKEN_FILE counts there too."""
TARGET_URI_FILE = "target/uri"
"""Below KEYS_DIR: a Restream's whole URI, when it comes from a Secret."""
STREAM_KEY_FILE = "streamkey/key"
"""Below KEYS_DIR: a Restream's stream key, when it has a Secret of its own."""
STORE_DIR = "/var/lib/sluice/store"
"""Where a claim-backed MediaStore is mounted, in recorders and in its store pod."""
SPOOL_DIR = "/var/lib/sluice/spool"
"""A pod's own scratch space (emptyDir)."""

CONFIG_ANNOTATION = "sluice.video/config"
"""On a pod: a new value makes the kubelet refresh its mounts at once."""

TOKEN_HEADER = "Sluice-Authorization"
"""Carries the bearer token in place of ``Authorization`` when a request comes through the API
server's pod proxy, which consumes ``Authorization`` itself. Either header opens a pod's API."""

HELLO_HEADER = "Sluice-Leg"
"""Request header of a leg: a :class:`LegHello` as JSON."""


class Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)


Seconds = Annotated[float, Field(ge=0)]

# --------------------------------------------------------------------------- configuration in


class PodConfig(Model):
    """What every role is told of itself. ``generation`` and ``hash`` come back in its status."""

    namespace: str
    name: str
    """Name of the object that the pod serves."""
    uid: str
    generation: int = 0
    hash: str = ""
    """Digest of the whole configuration, made by the operator."""


class RingPin(Model):
    """Content that a Recording will ask for: the ring keeps it until the recorder came."""

    recording_uid: str
    since: datetime


class IngestConfig(PodConfig):
    active: bool = True
    title: str = ""
    protocols: list[str] = ["RTMP"]
    stall_milliseconds: int = 800
    resume_window_seconds: int = 10
    pins: list[RingPin] = []
    drain: bool = False
    """True: refuse new legs (503); the pod is about to be replaced."""


class StreamRef(Model):
    """Where a reader finds its stream."""

    name: str
    uid: str
    title: str = ""
    host: str
    """DNS name of the hub's Service, fully qualified, with a trailing dot."""
    resume_window_seconds: int = 10


class DesiredState(StrEnum):
    RECORDING = "Recording"
    STOPPED = "Stopped"


class RecorderConfig(PodConfig):
    stream: StreamRef | None = None
    """None: the stream is gone for good; what is there is all there will be."""
    desired_state: DesiredState = DesiredState.RECORDING
    created_at: datetime
    """Content starts at the last random access point at or before this moment."""
    prefix: str
    """Key prefix inside the store, without slashes at its ends; attempts live below it."""
    minimum_seconds: int = 10
    """Stopped by the user with less than this in all files: nothing is kept."""
    rearm_seconds: int = 3_600


class PusherConfig(PodConfig):
    stream: StreamRef | None = None
    active: bool = True
    uri: str | None = None
    """The target when it is not a secret; else the file TARGET_URI_FILE holds it."""
    has_stream_key: bool = False
    """True: the stream key is in STREAM_KEY_FILE."""
    restart: str = ""
    """Any change of this value makes the pusher connect anew."""
    retry_min_seconds: Seconds = 1
    retry_max_seconds: Seconds = 30
    give_up_seconds: Seconds = 0


class StoreConfig(PodConfig):
    uri_base: str = ""
    """What stands before a key in ``files[].uri``, e.g. ``pvc://<claim>/``; empty: the key alone."""


class StoredRecording(Model):
    """What the operator tells a store of one Recording: ``PUT /v1/recordings/<uid>``."""

    uid: str
    name: str
    prefix: str
    recorder_gone: bool = False
    """True: no recorder will ever write again. What is in the store is all there will be, also
    when its journal is not marked as done."""


# --------------------------------------------------------------------------- the wire


class LegAck(Model):
    """Sent down a leg's response every 200 ms, one JSON object a line."""

    type: Literal["ack"] = "ack"
    stream_uid: str
    timeline: str
    epoch: int
    leg: str
    out_offset: int
    """Output DTS minus source DTS, 90 kHz."""
    acked_dts: int | None = None
    """Source DTS up to which attached recorders hold everything; None: no recorder attached, or
    nothing held yet."""
    last_out_dts: int
    """Last DTS on the output timeline."""
    last_out_utc: datetime | None = None
    session_started_at: datetime | None = None


class LegHello(Model):
    """Head of ``POST /v1/legs``. The key travels beside it, as a bearer token."""

    protocol: str
    """RTMP, RTMPS, SRT, WHIP or Pull."""
    container: Literal["flv", "mpegts"] = "flv"
    remote: str = ""
    """Address of the publisher, for people; may be empty."""
    connection: str
    """Made anew by the gateway for each publisher connection: a re-post of the same connection
    takes its own leg over at once."""
    resume: LegAck | None = None
    """The last acknowledgement of this connection, when it goes on at another hub."""


class LegEnd(Model):
    """The last line of a leg's response when the hub ends it on purpose."""

    type: Literal["end"] = "end"
    reason: str
    """TakenOver, Disabled, KeyRotated, UnsupportedCodec or BadMedia: do not come back by
    yourself. Draining: post again, another hub is on its way."""
    message: str = ""


class Refusal(Model):
    """Body of a 401, 403, 409 or 503 answer to a leg."""

    reason: str
    """BadKey, Busy, Disabled, ProtocolNotAllowed, UnsupportedCodec; Draining with 503."""
    message: str


class TrackInfo(Model):
    track: int
    kind: str
    codec: str
    config: str
    """Base64 of the decoder configuration record."""
    width: int = 0
    height: int = 0
    sample_rate: int = 0
    channels: int = 0


class TimelineFormat(Model):
    """Record ``format``: first of every reply, and whenever the tracks change."""

    timeline: str
    epoch: int
    stream_uid: str
    title: str = ""
    session_started_at: datetime
    tracks: list[TrackInfo]


class TimelineAnchor(Model):
    """Record ``anchor``: from here on, media time and wall clock belong together like this."""

    dts: int
    utc: datetime


class TimelineGap(Model):
    """Record ``gap``: media is missing between the unit before and the unit after."""

    dts: int
    """DTS at which the timeline goes on."""
    wall_seconds: float


class TimelineHeartbeat(Model):
    """Record ``heartbeat``: every 500 ms, and at once when one of its words changes.

    Readers take *these* words for what the source does instead of timing units themselves, so
    that a recorder, a pusher and the status never disagree."""

    session: bool
    """A session is on (it may be interrupted)."""
    delivering: bool
    """A leg delivers at this moment."""


class TimelineAck(Model):
    """Body of ``POST /v1/timeline/ack``: this reader holds everything up to ``dts`` durably."""

    reader: str
    timeline: str
    dts: int


class TimelineEnd(Model):
    """Record ``end``: the session is over; nothing follows."""

    reason: str
    """WindowPassed, Disabled or KeyRotated."""
    finished_at: datetime


# --------------------------------------------------------------------------- status out


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
    end_reason: str | None = None


class Rejection(Model):
    reason: str
    at: datetime


class Media(Model):
    video_codec: str | None = None
    audio_codec: str | None = None
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    bitrate_kbps: int | None = None


class IngestStatus(PodStatus):
    role: Literal["ingest"] = "ingest"
    on_air: bool = False
    """The output timeline advances."""
    primary_connected: bool = False
    """A publisher was accepted."""
    primary_delivers: bool = False
    interrupted: bool = False
    """A session is on, but no leg delivers."""
    timeline: str | None = None
    epoch: int = 0
    session: Session | None = None
    """The session that is on, or else the last one."""
    past_sessions: list[Session] = []
    """Ended sessions that this pod saw, newest first, at most ten."""
    media: Media | None = None
    last_rejection: Rejection | None = None
    no_random_access: bool = False
    """More than 10 s passed without a picture that decoding can start at."""
    ring_start: datetime | None = None
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
    state: Literal["Recording", "Interrupted", "Finalizing", "Ready", "Failed", "Discarded"]
    started_at: datetime
    ended_at: datetime | None = None
    duration_seconds: float = 0.0
    size_bytes: int | None = None
    sha256: str | None = None
    uri: str | None = None
    gaps: list[Gap] = []
    end_reason: str | None = None
    """SessionEnded, ParametersChanged, TimelineLost, Stopped."""
    message: str | None = None
    """Why it failed, in words."""


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
    end_reason: str | None = None
    """With Done: Stopped, StreamEnded or TooShort."""
    recording_started_at: datetime | None = None
    recording_duration: float = 0.0
    """Seconds over all files."""
    transitions: int = 0
    """Grows when a file begins or ends and when a gap was noted."""
    current_file_duration: float = 0.0
    files: list[RecordedFile] = []
    pending_bytes: int = 0
    """Closed chunks that are not in the store yet."""
    store_error: str | None = None
    """Why chunks cannot be stored at the moment; None while they can."""


class TargetError(Model):
    class_: str = Field(alias="class")
    """Dns, Refused, Reset, Timeout, BadName, Unauthorized, Tls, Unsupported or Closed."""
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
    """With Idle: WaitingForStream, Disabled, CodecMismatch or StreamNotFound."""
    target: str = ""
    """Redacted: scheme, host, port and app, never a key."""
    target_digest: str = ""
    """Keyed digest of the URI and key (HMAC-SHA256, first 16 hex), to find duplicate targets
    without knowing them."""
    started_at: datetime | None = None
    """When the present connection became Live."""
    attempts: int = 0
    reconnects: int = 0
    bytes_sent: int = 0
    last_error: TargetError | None = None
    message: str | None = None
    """CodecMismatch: what to change."""


class StoredResult(Model):
    """What a store knows of one Recording: ``GET /v1/recordings/<uid>``."""

    uid: str
    state: Literal["Unknown", "Open", "Finalizing", "Done", "Failed"]
    """Unknown: nothing of it in the store. Open: a recorder still writes."""
    files: list[RecordedFile] = []
    end_reason: str | None = None
    recording_started_at: datetime | None = None
    message: str | None = None


class StoreStatus(PodStatus):
    role: Literal["store"] = "store"
    writable: bool = False
    message: str | None = None
    """Why it is not writable, in words."""
    reason: str | None = None
    used_bytes: int = 0
    available_bytes: int | None = None
    finalizing: str | None = None
    """Uid of the Recording being finalised."""
    changed: dict[str, int] = {}
    """Recording uid -> version at which its result changed last; the latest 200."""
