"""Configuration of a pod: the operator writes it as the JSON of CONFIG_FILE."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from enum import StrEnum
from typing import Literal

from sluice_media.contract.base import Model, Seconds


class PodConfig(Model):
    """Head of every role's configuration. The pod's status returns ``generation`` and ``hash``."""

    namespace: str
    name: str
    """Name of the object that the pod serves."""
    uid: str
    generation: int = 0
    hash: str = ""
    """Digest of the whole configuration, made by the operator."""


class RingPin(Model):
    """Content that a Recording will need. The hub keeps it until the recorder holds it."""

    recording_uid: str
    since: datetime
    session_started_at: datetime | None = None
    """Start of the only session that is recorded, from its beginning; None for any session."""


class AddressGuard(Model):
    """Addresses that a pod may dial for a user. Ranges are CIDRs, IPv4 or IPv6. A range in
    ``allowed`` takes precedence over a range in ``denied``."""

    denied: list[str] = []
    allowed: list[str] = []
    cluster_domain: str = "cluster.local"
    """Domain of the cluster's own names. The pod refuses to dial these names."""
    allowed_names: list[str] = []
    """Exact host names that may be dialled although they are the cluster's own or resolve to a
    denied range. Loopback, link-local and metadata addresses stay refused."""


class PullConfig(Model):
    """Sources to pull from, tried in turn, again and again."""

    uris: list[str | None]
    """URIs of the sources. None when the file ``PULL_DIR/<index>`` below KEYS_DIR has the URI."""
    with_ca: list[int] = []
    """Indices of the sources with their own authority: the certificates in ``PULL_CA_DIR/<index>``
    verify such a source, and the public authorities do not count."""
    stall_seconds: Seconds = 3
    """Silence of a source, in seconds, after which the next source is tried."""
    retry_seconds: Seconds = 3
    """Pause after a round in which no source delivered."""
    inactivity_seconds: Seconds = 7_200
    """Time without media from any source after which pulling is given up. It starts again when
    ``generation`` or ``restart`` changes."""
    restart: str = ""
    """Any change of this value starts pulling again after it was given up."""
    given_up: bool = False
    """True when an earlier process gave up with this ``generation`` and ``restart``."""
    standby: Literal["Cold", "Warm"] = "Cold"
    """``Warm`` keeps the next source connected while another one is on air."""
    guard: AddressGuard = AddressGuard()


class IngestConfig(PodConfig):
    """Configuration of a stream's hub."""

    active: bool = True
    title: str = ""
    protocols: list[str] = ["RTMP"]
    backup: bool = False
    """True when the stream has a backup leg, with the key in INGEST_BACKUP_TOKEN_FILE."""
    failback: Literal["Never", "AfterStable"] = "Never"
    failback_seconds: Seconds = 60
    """Time for which the primary leg must deliver without a break before ``AfterStable`` switches
    back to it."""
    srt_latency_milliseconds: int | None = None
    srt_passphrase: bool = False
    """True when SRT publishers need the passphrase in SRT_PASSPHRASE_FILE."""
    pull: PullConfig | None = None
    """None when the stream is pushed."""
    stall_milliseconds: int = 800
    resume_window_seconds: int = 10
    pins: list[RingPin] = []
    auto_record: bool = False
    """True to keep each session on the pod's disk until a recorder holds it."""
    auto_recorded_until: datetime | None = None
    """Sessions that began at or before this time need a recorder only if ``pins`` lists them."""
    auto_recorded: list[datetime] = []
    """Start times of further sessions that need a recorder only if ``pins`` lists them. One time
    limit is not enough: a later session may have an earlier start time, because the clocks of nodes
    differ."""
    spool_limit_bytes: int = 4 << 30
    """Maximum size of the spool on the pod's disk. Beyond it the oldest content is deleted."""
    segment_seconds: int = 2
    """Wanted duration of a segment. A session keeps the value with which it began."""
    drain: bool = False
    """True when the pod is about to be replaced: the hub refuses new legs with 503."""


class StreamRef(Model):
    """Stream of a reader, and the address of its hub."""

    name: str
    uid: str
    title: str = ""
    host: str
    """DNS name of the hub's Service, fully qualified, with a trailing dot."""
    resume_window_seconds: int = 10


class DesiredState(StrEnum):
    """State of a Recording that the user requests."""

    RECORDING = "Recording"
    STOPPED = "Stopped"


class Retention(Model):
    """Time for which a store keeps a Recording's content. May change at any time."""

    retention_seconds: Seconds | None = None
    """Time from the end of a file until the store deletes it; None to keep it forever."""
    keep_original: bool = False
    """True to keep chunks and playlist beside the MP4 for ``original_seconds``."""
    original_seconds: Seconds = 604_800


class BucketLocation(Model):
    """Bucket of an S3 storage. Credentials are in S3_ACCESS_KEY_FILE and S3_SECRET_KEY_FILE."""

    endpoint: str | None = None
    """``https://HOST[:PORT]`` or ``http://HOST[:PORT]``; None for AWS."""
    region: str = "us-east-1"
    bucket: str
    prefix: str = ""
    """Prefix of all keys, without slashes at its ends; may be empty."""
    path_style: bool = True
    """True for ``ENDPOINT/BUCKET/KEY``; False when the bucket is part of the host name."""
    has_credentials: bool = True
    """False to use the workload's identity, from the environment that the cloud injects."""
    has_ca: bool = False
    """True when S3_CA_FILE verifies the endpoint instead of the public authorities."""


class RecorderConfig(PodConfig):
    """Configuration of the recorder of one Recording."""

    stream: StreamRef | None = None
    """None when the stream was deleted: no more content will come."""
    desired_state: DesiredState = DesiredState.RECORDING
    created_at: datetime
    """Content starts at the last random access point at or before this moment."""
    prefix: str
    """Key prefix inside the store, without slashes at its ends; attempts write below it."""
    minimum_seconds: int = 10
    """Minimum duration of all files together. A Recording that the user stops earlier keeps
    nothing."""
    rearm_seconds: int = 3_600
    split_seconds: Seconds = 14_400
    """Maximum duration of a file. The next random access point after it begins the next file."""
    max_duration_seconds: Seconds | None = None
    """Maximum duration of all files together; None for no limit."""
    session_started_at: datetime | None = None
    """Start of the only session that is recorded, from its first random access point. None to
    record every session."""
    s3: BucketLocation | None = None
    """None when the store is the claim that is mounted at STORE_DIR."""
    uri_base: str = ""
    """Prefix that makes a key the URI in ``files[].original_uri``. The store has the same value."""
    retention: Retention = Retention()
    """Retention that the recorder writes beside the chunks, so that the store can finalise them
    without the operator."""
    spool_limit_bytes: int = 1 << 30
    """Maximum size of the closed chunks that the store has not taken yet."""


class PusherConfig(PodConfig):
    """Configuration of the pusher of one Restream."""

    stream: StreamRef | None = None
    active: bool = True
    uri: str | None = None
    """URI of the target; None when the file TARGET_URI_FILE holds it."""
    has_stream_key: bool = False
    """True when the stream key is in STREAM_KEY_FILE."""
    restart: str = ""
    """Any change of this value makes the pusher close its connection and dial again."""
    retry_min_seconds: Seconds = 1
    retry_max_seconds: Seconds = 30
    give_up_seconds: Seconds = 0
    audio: Literal["Keep", "Drop", "Silence"] = "Keep"
    video_codecs: Literal["Announced", "Assume"] = "Assume"
    """``Announced`` pushes HEVC only to an RTMP server that announces HEVC."""
    has_passphrase: bool = False
    """True when an SRT target's passphrase is in TARGET_PASSPHRASE_FILE."""
    has_ca: bool = False
    """True when TARGET_CA_FILE verifies the target instead of the public authorities."""
    guard: AddressGuard = AddressGuard()
    duplicate_of: str | None = None
    """Name of another Restream that already pushes to this target with this key. Then this pusher
    must not dial."""
    cleared_target: str | None = None
    """:func:`target_clearance` of the one target that may be dialled, because no other Restream
    pushes to it. Until it matches, the pusher shows its ``target_digest`` and waits with the idle
    reason CheckingTarget. None when any target may be dialled, because no operator compares
    targets."""
    withdrawn_targets: list[str] = []
    """Clearances that the operator has withdrawn from this pusher. The pusher ignores them. Each
    stays listed until the pusher has read the withdrawal. Until then no operator clears its target
    for another Restream, not even an operator that has just started."""
    claim_revision: int = 0
    """Counter of the changes of ``duplicate_of``, ``cleared_target`` and ``withdrawn_targets``.
    Every change therefore gives the configuration a new hash, even when an earlier clearance
    returns. A status with that hash proves that the pusher has read the change."""


class PlayConfig(PodConfig):
    """Configuration of the play pods of one LiveStream."""

    stream: StreamRef
    siblings: str = ""
    """DNS name of the headless Service of all play pods of the stream, fully qualified, with a
    trailing dot. Empty when there is one pod."""
    dvr_seconds: int = 0
    """Time that viewers can rewind; 0 for the live window only."""
    spool_limit_bytes: int | None = None
    """Maximum size of the window in SPOOL_DIR. Beyond it the oldest segments are dropped. None for
    no limit."""
    hls: bool = True
    hls_end_list: bool = True
    """True to end the playlists with EXT-X-ENDLIST when the session ends."""
    dash: bool = True
    dash_end_list: bool = True
    """True to make the MPD static when the session ends."""
    hls_mpegts: bool = False
    hls_mpegts_end_list: bool = False
    signed: bool = False
    """True when viewers need a signed URL."""
    screenshot_seconds: int = 10
    """Time between two screenshots."""
    keep_last_screenshot: bool = False
    """True to serve the last screenshot while the stream is off air."""
    projection: Literal["Regular", "VR360", "VR180", "VR360TB"] = "Regular"
    edge_url: str = ""
    """URL of the stream at the edge inside the cluster, without a slash at its end. Empty when the
    chart has no edge."""


class StoreConfig(PodConfig):
    """Configuration of a MediaStore's pod."""

    uri_base: str = ""
    """Prefix that makes a key the URI in ``files[].uri``, e.g. ``pvc://<claim>/``; may be empty."""
    s3: BucketLocation | None = None
    """None when the store is the claim that is mounted at STORE_DIR."""
    limit_bytes: int | None = None
    """Maximum size of everything below the prefix; None for no limit."""
    warn_at_percent: int = 90
    scratch_limit_bytes: int | None = None
    """Maximum size of the unfinished MP4 in SPOOL_DIR; None for no limit."""


class StoredRecording(Retention):
    """Body of ``PUT /v1/recordings/<uid>``: the operator's orders to a store for one Recording."""

    uid: str
    name: str
    namespace: str = ""
    prefix: str
    deleted: bool = False
    """True when the Recording was deleted. Its content stays in the store, and its name is free."""
    recorder_gone: bool = False
    """True when no recorder will write again. The store then has all content, even if the journal
    is not marked as done."""


def target_clearance(target_digest: str, hub_token: str) -> str:
    """Return the operator's permission to dial one target: 16 hex digits of an HMAC-SHA256.

    Only readers that know both the digest and the token can relate it to a target. Everybody who
    may read ConfigMaps can read the configuration, and a bare digest would let them check guesses
    of a stream key.
    """
    digest = hmac.new(hub_token.encode(), target_digest.encode(), hashlib.sha256)
    return digest.hexdigest()[:16]
