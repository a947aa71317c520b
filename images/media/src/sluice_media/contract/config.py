"""Configuration in: what the operator tells a pod, as the JSON of CONFIG_FILE."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from sluice_media.contract.base import Model, Seconds


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
    session_started_at: datetime | None = None
    """Set: the Recording is of that one session, from its beginning."""


class AddressGuard(Model):
    """Which addresses a pod may dial on a user's behalf. Ranges are CIDRs, IPv4 or IPv6; a range
    in ``allowed`` wins over one in ``denied``."""

    denied: list[str] = []
    allowed: list[str] = []
    cluster_domain: str = "cluster.local"
    """Names below it are the cluster's own and are refused like its ranges."""
    allowed_names: list[str] = []
    """Exact host names that may be dialled although they are the cluster's own, or lead into a
    denied range. Loopback, link-local and metadata addresses stay refused."""


class PullConfig(Model):
    """Sources to pull from, one after the other and round again. A URI that is None is in the
    file ``PULL_DIR/<index>`` below KEYS_DIR."""

    uris: list[str | None]
    with_ca: list[int] = []
    """Indices of the URIs for which the file ``PULL_CA_DIR/<index>`` counts instead of the public
    authorities."""
    stall_seconds: Seconds = 3
    """No byte for so long: the next one's turn."""
    retry_seconds: Seconds = 3
    """Between two rounds in which none delivered."""
    inactivity_seconds: Seconds = 7_200
    """None delivered for so long: given up, no more tries until ``generation`` or ``restart``
    changes."""
    restart: str = ""
    """Any change of this value ends a giving up."""
    given_up: bool = False
    """True: an earlier process gave up in this ``generation`` and with this ``restart``."""
    standby: Literal["Cold", "Warm"] = "Cold"
    """Warm: the next one is kept connected while another is on air."""
    guard: AddressGuard = AddressGuard()


class IngestConfig(PodConfig):
    active: bool = True
    title: str = ""
    protocols: list[str] = ["RTMP"]
    backup: bool = False
    """True: INGEST_BACKUP_TOKEN_FILE is the key of a second leg."""
    failback: Literal["Never", "AfterStable"] = "Never"
    failback_seconds: Seconds = 60
    """AfterStable: back to the primary leg once it has delivered for so long without a break."""
    srt_latency_milliseconds: int | None = None
    srt_passphrase: bool = False
    """True: the passphrase in SRT_PASSPHRASE_FILE is demanded of SRT publishers."""
    pull: PullConfig | None = None
    """None: publishers push."""
    stall_milliseconds: int = 800
    resume_window_seconds: int = 10
    pins: list[RingPin] = []
    auto_record: bool = False
    """True: each session is kept on the pod's disk until a recorder holds it."""
    auto_recorded_until: datetime | None = None
    """Of the sessions that began up to then, only those in ``pins`` still need a recorder."""
    auto_recorded: list[datetime] = []
    """Start times of more such sessions. A later session may have an earlier start time, where the
    clocks of nodes differ."""
    spool_limit_bytes: int = 4 << 30
    """Of the pod's disk; beyond it the oldest content goes."""
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


class Retention(Model):
    """For how long a store keeps what was recorded. May change at any time."""

    retention_seconds: Seconds | None = None
    """A file goes so long after its end; None: never."""
    keep_original: bool = False
    """True: chunks and playlist stay for ``original_seconds`` beside the MP4."""
    original_seconds: Seconds = 604_800


class BucketLocation(Model):
    """Storage that speaks S3. Credentials are in S3_ACCESS_KEY_FILE and S3_SECRET_KEY_FILE."""

    endpoint: str | None = None
    """``https://HOST[:PORT]`` or ``http://``; None: AWS."""
    region: str = "us-east-1"
    bucket: str
    prefix: str = ""
    """Of all keys, without slashes at its ends; may be empty."""
    path_style: bool = True
    """``ENDPOINT/BUCKET/KEY`` instead of the bucket as a host name."""
    has_credentials: bool = True
    """False: those of the workload's identity, from the environment that the cloud injects."""
    has_ca: bool = False
    """True: S3_CA_FILE counts instead of the public authorities."""


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
    split_seconds: Seconds = 14_400
    """A file that is so long ends at the next random access point, which begins the next file."""
    max_duration_seconds: Seconds | None = None
    """So much media in all files ends the Recording."""
    session_started_at: datetime | None = None
    """Set: this one session is recorded, from its first random access point, and nothing else."""
    s3: BucketLocation | None = None
    """None: the claim that is mounted at STORE_DIR."""
    uri_base: str = ""
    """What stands before a key in ``files[].original_uri``; the store's has the same value."""
    retention: Retention = Retention()
    """Written beside the chunks, so that the store needs nobody to finish them rightly."""
    spool_limit_bytes: int = 1 << 30
    """Of closed chunks that the store has not taken yet."""


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
    audio: Literal["Keep", "Drop", "Silence"] = "Keep"
    video_codecs: Literal["Announced", "Assume"] = "Assume"
    """Of an RTMP target. Announced: HEVC is pushed only to a server that announces it."""
    has_passphrase: bool = False
    """True: an SRT target's passphrase is in TARGET_PASSPHRASE_FILE."""
    has_ca: bool = False
    """True: TARGET_CA_FILE counts instead of the public authorities."""
    guard: AddressGuard = AddressGuard()
    duplicate_of: str | None = None
    """Name of the Restream that pushes to the same target with the same key already: this one
    must not."""
    cleared_target: str | None = None
    """The :func:`target_clearance` of the one target that may be dialled: no other Restream pushes
    to it. Until it fits, the pusher shows its ``target_digest`` and waits (idle reason
    CheckingTarget). None: nobody compares, any target may be dialled."""
    withdrawn_targets: list[str] = []
    """Clearances that this pusher had and has perhaps not read to be withdrawn. It does nothing
    with them: the operator gives nobody else these targets meanwhile, whoever the operator is."""
    claim_revision: int = 0
    """Grows with each change of the three before it: what was said once more has another hash, so
    that the hash in a status tells whether the pusher has read of it."""


class StoreConfig(PodConfig):
    uri_base: str = ""
    """What stands before a key in ``files[].uri``, e.g. ``pvc://<claim>/``; may be empty."""
    s3: BucketLocation | None = None
    """None: the claim that is mounted at STORE_DIR."""
    limit_bytes: int | None = None
    """Of everything below the prefix; None: as much as there is."""
    warn_at_percent: int = 90
    scratch_limit_bytes: int | None = None
    """Of SPOOL_DIR, for the MP4 that is being made; None: as much as the disk has."""


class StoredRecording(Retention):
    """What the operator tells a store of one Recording: ``PUT /v1/recordings/<uid>``."""

    uid: str
    name: str
    namespace: str = ""
    prefix: str
    deleted: bool = False
    """True: the Recording was deleted. What is in the store stays, and the name is free."""
    recorder_gone: bool = False
    """True: no recorder will ever write again. What is in the store is all there will be, also
    when its journal is not marked as done."""
