"""The input of a ``decide()``: everything it may depend on, gathered beforehand as plain data.

The engine gathers (all the I/O), passes one of the ``Observed…`` objects and the present time to
the kind's ``decide(observed, now)``, and carries out the returned `Decision`.

Guarantees of the gatherer
    * ``raw`` is the object as the API server returns it (``metadata``, ``spec``, ``status``).
    * ``children`` holds the raw children that exist *and* are controlled by ``raw``'s uid, keyed
      by (kind, name); Secrets are in it without ``data``. `names.CHILDREN` has their names.
    * ``conflicts`` holds the objects with a child's name that our uid does not control.
    * ``pods`` are the pods with our `names.UID_LABEL` and the role of the kind, as
      `pod_view.pod_view` makes them. The play pods of a LiveStream are in ``playback``.
    * ``sample`` is the last answer of the newest pod that has answered for this uid since the
      operator started, even when that pod is gone. ``age_seconds`` is the time since its last
      answer or heartbeat. The object is queued when a pod has been silent for 6 s.

Meaning of a decision for the engine
    * A child that a decision does not name is not changed; only ``deletions`` deletes.
    * ``create_only`` children are created when missing and never patched.
    * ``owned=False`` children get no owner reference and are exempt from the conflict check.
    * A change of an object queues related ones: a Recording or Restream queues its LiveStream and
      the reverse; a MediaStore queues the Recordings that use it. Recordings that are over are not
      queued, unless work is left for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from sluice_media.contract import (
    IngestStatus,
    PlayStatus,
    PodStatus,
    PusherStatus,
    RecorderStatus,
    StoredResult,
    StoreStatus,
)
from sluice_operator.domain.pod_view import PodView, Raw

ChildKey = tuple[str, str]
"""(kind, name)"""

S_co = TypeVar("S_co", bound=PodStatus, covariant=True)


# --------------------------------------------------------------------------- settings


@dataclass(slots=True, frozen=True)
class DefaultBucket:
    """The bucket that the MediaStores ``default`` of all namespaces share.

    Each namespace has a prefix of its own name."""

    bucket: str
    service_account_name: str = "default"
    """ServiceAccount, in each namespace, with access to the bucket."""
    endpoint: str = ""
    """URL of the S3 endpoint; empty: Amazon's."""
    region: str = "us-east-1"
    prefix: str = ""
    """Prefix before the namespace; may be empty."""
    path_style: bool = True


@dataclass(slots=True, frozen=True)
class DefaultStore:
    """Settings of the MediaStore ``default`` that a namespace gets at its first Recording."""

    size: str = "20Gi"
    """Size of its claim, a Kubernetes quantity."""
    storage_class_name: str | None = None
    """StorageClass of its claim; None: the cluster's default."""
    bucket: DefaultBucket | None = None
    """Bucket that replaces the claim."""
    limit: str = ""
    """Limit of the store, a Kubernetes quantity; empty: no limit."""


def _default_resources() -> dict[str, dict[str, dict[str, str]]]:
    """Return resources by role. The requests cover the resident memory measured on air at 6 Mb/s:
    ingest 111 MiB with a full ring of 60 s (60 MiB idle), recorder 82 MiB, pusher 67 MiB, store
    62 MiB and its FFmpeg 58 MiB. Those of play are its budget, 100 MiB and its newest segments, and
    the FFmpeg of a screenshot."""
    return {
        "ingest": {"requests": {"cpu": "20m", "memory": "128Mi"}, "limits": {"memory": "768Mi"}},
        "record": {"requests": {"cpu": "20m", "memory": "96Mi"}, "limits": {"memory": "384Mi"}},
        "play": {"requests": {"cpu": "20m", "memory": "160Mi"}, "limits": {"memory": "512Mi"}},
        "push": {"requests": {"cpu": "20m", "memory": "80Mi"}, "limits": {"memory": "256Mi"}},
        "store": {"requests": {"cpu": "20m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    }


@dataclass(slots=True, frozen=True)
class PublicPorts:
    """Ports that publishers dial; None: the node port (NodePort) or the port of the Service."""

    rtmp: int | None = None
    rtmps: int | None = None
    srt: int | None = None
    whip: int | None = None


@dataclass(slots=True, frozen=True)
class EdgeSettings:
    """Settings of the edge, from which viewers get playlists and segments."""

    host: str
    """DNS name of its Service inside the cluster, fully qualified, without a trailing dot."""
    port: int = 80
    """Port of its Service inside the cluster."""
    public_url: str = ""
    """Prefix of viewers' URLs; empty: ``http://HOST:PORT``."""
    public_host: str = ""
    """Host that viewers dial; empty: the address of the load balancer."""
    public_port: int | None = None
    """Port that viewers dial; None: as in `PublicPorts`."""


@dataclass(slots=True, frozen=True)
class DomainSettings:
    """Settings of the installation that children and addresses depend on."""

    media_image: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets in each stream's namespace, added to those of the object."""
    cluster_domain: str = "cluster.local"
    default_store: DefaultStore | None = field(default_factory=DefaultStore)
    """None: switched off; a Recording without a MediaStore is then Stalled/StoreNotFound."""
    gateway_public_host: str = ""
    """Host that RTMP and RTMPS publishers dial; empty: the Service's load balancer."""
    gateway_public_srt_host: str = ""
    """Host that SRT publishers dial; empty: the load balancer of the SRT Service."""
    gateway_public_ports: PublicPorts = PublicPorts()
    whip_public_host: str = ""
    """Host that WHIP publishers dial; empty: the load balancer of the WHIP Service."""
    whip_public_url: str = ""
    """Base of the WHIP URLs, when a proxy in front of it terminates TLS; empty: plain HTTP to host
    and port."""
    denied_ranges: tuple[str, ...] = ()
    """CIDRs that ingest pods and pushers must not dial, the cluster's own among them."""
    allowed_ranges: tuple[str, ...] = ()
    """CIDRs that these pods may dial although a denied range contains them."""
    allowed_names: tuple[str, ...] = ()
    """Host names of the cluster that these pods may dial."""
    pod_trouble_seconds: float = 120.0
    """Time for which a pod may fail to be scheduled, pulled or started before it is Stalled."""
    resources: Mapping[str, Mapping[str, Mapping[str, str]]] = field(
        default_factory=_default_resources
    )
    """Role -> Kubernetes resource requirements."""
    recorder_spool_bytes: int = 1 << 30
    """Disk of a recorder for chunks that are not in the store yet."""
    ingest_spool_bytes: int = 4 << 30
    """Disk of an ingest pod for sessions that no recorder holds yet."""
    store_scratch_bytes: int = 4 << 30
    """Disk of an S3 store's pod for the MP4 in progress."""
    store_priority_class: str = ""
    """PriorityClass of the store pods; empty: the cluster's default."""
    log_level: str = "INFO"
    """Log level of the media pods."""
    edge: EdgeSettings | None = None
    """None when the installation has no edge, so that nothing can be played."""


# --------------------------------------------------------------------------- parts


@dataclass(slots=True, frozen=True)
class Conflict:
    """An object that has a child's name and that we do not control."""

    kind: str
    name: str
    held_by: str = ""
    """Controller of the object as ``Kind/name``; empty when it has none."""
    leaving: bool = False
    """True when the object vanishes by itself: it is being deleted, or it belongs to an earlier
    object of our kind and name."""


@dataclass(slots=True, frozen=True)
class ServicePort:
    port: int
    node_port: int | None = None


@dataclass(slots=True, frozen=True)
class PublicService:
    """The fields of a Service of the gateway, of WHIP or of the edge that public addresses follow
    from."""

    type: str
    """NodePort, LoadBalancer or ClusterIP."""
    ports: Mapping[str, ServicePort] = field(default_factory=dict)
    """Ports by name: ``rtmp`` and ``rtmps``, or ``srt``, of the gateway; ``http`` of WHIP and
    of the edge."""
    load_balancer_host: str | None = None
    """First IP or host name of ``status.loadBalancer.ingress``."""
    name: str = ""
    """``<namespace>/<name>``."""
    last_event: str = ""
    """The event with the cause of its missing address; empty when there is none."""


@dataclass(slots=True, frozen=True)
class IngestSecret:
    """The content of the existing Secret ``<name>-ingest``, read live in each pass."""

    token: str | None = field(repr=False)
    """The primary publisher's key; None when the Secret lacks it."""
    backup_token: str | None = field(default=None, repr=False)
    """The backup publisher's key."""
    rotation: str | None = None
    """Value of its annotation `names.ROTATED_ANNOTATION`."""
    version: str = ""
    """The resource version that was read."""


@dataclass(slots=True, frozen=True)
class PlaybackSecret:
    """The content of the existing Secret ``<name>-playback``, read live in each pass."""

    key: str | None = field(repr=False)
    """The key that signs URLs; None when the Secret lacks it."""
    previous_key: str | None = field(default=None, repr=False)
    """The former key, whose URLs are still valid."""
    rotation: str | None = None
    """Value of its annotation `names.ROTATED_ANNOTATION`."""
    version: str = ""
    """The resource version that was read."""


@dataclass(slots=True, frozen=True)
class Sample(Generic[S_co]):
    """The last answer of a media pod."""

    status: S_co
    age_seconds: float
    """Time since the pod's last answer or heartbeat."""


@dataclass(slots=True, frozen=True)
class Rival:
    """Another Restream of the namespace whose pusher names the same target and key."""

    name: str
    created_at: datetime
    wants: bool
    """True when the Restream exists, is active and has a stream. It then gets the target if it is
    the older one."""
    busy: bool
    """True when its pusher is connected, or may be."""


# --------------------------------------------------------------------------- one per kind


@dataclass(slots=True, frozen=True, kw_only=True)
class ObservedPlayback:
    """The facts about the playback of a LiveStream."""

    fresh_key: str = field(repr=False)
    """256 bits in hex, made for each pass; used only when a signing key is needed."""
    secret: PlaybackSecret | None = None
    """None: the Secret does not exist."""
    edge: PublicService | None = None
    """The Service of the edge; None when it does not exist."""
    edge_token: str | None = field(default=None, repr=False)
    """Token with which the edge reads from the play pods of this stream; None without an edge."""
    pods: tuple[PodView, ...] = ()
    """The play pods."""
    samples: tuple[Sample[PlayStatus], ...] = ()
    """The last answer of each play pod that exists and has answered."""


@dataclass(slots=True, frozen=True, kw_only=True)
class ObservedLiveStream:
    """A LiveStream with everything that its decision depends on."""

    raw: Raw
    settings: DomainSettings
    fresh_token: str = field(repr=False)
    """128 bits in hex, made for each pass; used only when a publishing key is needed."""
    fresh_backup_token: str = field(repr=False)
    """128 bits in hex for the backup publisher's key."""
    fresh_hub_token: str = field(repr=False)
    """128 bits in hex for the token of the hub's readers."""
    operator_uptime_seconds: float = 3600.0
    """Time since the operator began to poll media pods; 0 until it has polled each pod that the
    decision depends on."""
    children: Mapping[ChildKey, Raw] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    ingest_secret: IngestSecret | None = None
    """None: the Secret does not exist."""
    gateway: PublicService | None = None
    gateway_srt: PublicService | None = None
    whip: PublicService | None = None
    """``gateway``, ``gateway_srt`` and ``whip`` are Services; None when one does not exist."""
    pods: tuple[PodView, ...] = ()
    sample: Sample[IngestStatus] | None = None
    recordings: tuple[Raw, ...] = ()
    """Recordings of this stream: those that are not over or wait to be remembered, and those that
    autoRecord made for recordable sessions."""
    restreams: tuple[Raw, ...] = ()
    """Restreams of the namespace whose streamRef names this stream."""
    playback: ObservedPlayback | None = None
    """None when the spec has no playback."""
    recording_names: frozenset[str] = frozenset()
    """Names of other Recordings, among the names that a new automatic Recording could get."""


@dataclass(slots=True, frozen=True, kw_only=True)
class ObservedRecording:
    """A Recording with everything that its decision depends on."""

    raw: Raw
    settings: DomainSettings
    operator_uptime_seconds: float = 3600.0
    children: Mapping[ChildKey, Raw] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    stream: Raw | None = None
    """The LiveStream that streamRef names."""
    hub_token: str | None = field(default=None, repr=False)
    """``token`` of Secret ``<stream>-hub``; None when it does not exist yet."""
    stream_sample: Sample[IngestStatus] | None = None
    """The last answer of the stream's hub."""
    store: Raw | None = None
    """The MediaStore that storeRef (or ``default``) names."""
    store_sample: Sample[StoreStatus] | None = None
    """The last answer of the store pod."""
    pods: tuple[PodView, ...] = ()
    sample: Sample[RecorderStatus] | None = None
    stored: StoredResult | None = None
    """The store's answer to ``GET /v1/recordings/<uid>``; None when there is none."""
    former: StoredResult | None = None
    """The store's result of an earlier Recording of this name that ended, and whose deletion was
    not reported to the store. If it is set, ``stored`` is equal to it."""
    former_asked_seconds: float | None = None
    """Time since the first request for ``former``, while the store does not answer; None otherwise.
    It is measured by the operator, because the creation time is by another clock."""
    ask_store_again_seconds: float | None = None
    """Time until the next request, because the store did not answer or has not finished."""


@dataclass(slots=True, frozen=True, kw_only=True)
class ObservedRestream:
    """A Restream with everything that its decision depends on."""

    raw: Raw
    settings: DomainSettings
    operator_uptime_seconds: float = 3600.0
    children: Mapping[ChildKey, Raw] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    stream: Raw | None = None
    hub_token: str | None = field(default=None, repr=False)
    pods: tuple[PodView, ...] = ()
    sample: Sample[PusherStatus] | None = None
    rivals: tuple[Rival, ...] = ()


@dataclass(slots=True, frozen=True, kw_only=True)
class ObservedMediaStore:
    """A MediaStore with everything that its decision depends on."""

    raw: Raw
    settings: DomainSettings
    fresh_token: str = field(repr=False)
    operator_uptime_seconds: float = 3600.0
    children: Mapping[ChildKey, Raw] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    claim: Raw | None = None
    """The PersistentVolumeClaim ``mediastore.claim_name(raw)``; None: it does not exist."""
    pods: tuple[PodView, ...] = ()
    sample: Sample[StoreStatus] | None = None
