"""What a ``decide()`` is given: everything it may look at, as plain data, gathered beforehand.

The engine gathers (all the I/O), hands one of the ``Observed…`` objects and the present time to
the kind's ``decide(observed, now)``, and acts on the `Decision` that comes back.

What the gatherer promises
    * ``raw`` is the object as the API server returns it (``metadata``, ``spec``, ``status``).
    * ``children`` holds the raw children that exist *and* are controlled by ``raw``'s uid, keyed
      by (kind, name); Secrets are in it without ``data``. Names to look for: `names.CHILDREN`.
    * ``conflicts`` holds the children's names that exist and are not controlled by our uid.
    * ``pods`` are the pods with our `names.UID_LABEL`, as `pod_view.pod_view` makes them.
    * ``sample`` is the last answer of the newest pod that ever answered for this uid since the
      operator started, even when that pod is gone: ``age_seconds`` says how long ago its last sign
      of life (answer or heartbeat) was. The object is queued when a pod has been silent for 6 s.

What a decision means to the engine
    * A child that a decision does not name is left alone; only ``deletions`` deletes.
    * ``create_only`` children are created when missing and never patched.
    * ``owned=False`` children get no owner reference and are exempt from the conflict check.
    * Related objects wake each other: a Recording or Restream wakes its LiveStream and the other
      way round, a MediaStore wakes the Recordings that use it. Recordings that are over sleep on,
      unless something is left to be done for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from sluice_media.contract import (
    IngestStatus,
    PodStatus,
    PusherStatus,
    RecorderStatus,
    StoredResult,
    StoreStatus,
)
from sluice_operator.domain.pod_view import PodView, Raw

"""An API object as JSON."""
ChildKey = tuple[str, str]
"""(kind, name)"""

S_co = TypeVar("S_co", bound=PodStatus, covariant=True)


# --------------------------------------------------------------------------- settings


@dataclass(slots=True, frozen=True)
class DefaultBucket:
    """The bucket that all namespaces' MediaStores ``default`` share, each below its own name."""

    bucket: str
    service_account_name: str = "default"
    """ServiceAccount in each namespace whose identity opens the bucket."""
    endpoint: str = ""
    """Empty: Amazon's."""
    region: str = "us-east-1"
    prefix: str = ""
    """What stands before the namespace; may be empty."""
    path_style: bool = True


@dataclass(slots=True, frozen=True)
class DefaultStore:
    """The MediaStore ``default`` that a namespace gets at its first Recording."""

    size: str = "20Gi"
    """Of its claim, a Kubernetes quantity."""
    storage_class_name: str | None = None
    """None: the cluster's default class."""
    bucket: DefaultBucket | None = None
    """Set: S3 in place of a claim."""
    limit: str = ""
    """A Kubernetes quantity; empty: none."""


def _default_resources() -> dict[str, dict[str, dict[str, str]]]:
    """Requests are what a pod takes on air at 6 Mb/s (resident): ingest 111 MiB with its ring of
    60 s full (60 MiB idle), recorder 82 MiB, pusher 67 MiB, store 62 MiB and its FFmpeg 58 MiB."""
    return {
        "ingest": {"requests": {"cpu": "20m", "memory": "128Mi"}, "limits": {"memory": "768Mi"}},
        "record": {"requests": {"cpu": "20m", "memory": "96Mi"}, "limits": {"memory": "384Mi"}},
        "push": {"requests": {"cpu": "20m", "memory": "80Mi"}, "limits": {"memory": "256Mi"}},
        "store": {"requests": {"cpu": "20m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    }


@dataclass(slots=True, frozen=True)
class PublicPorts:
    """Ports that publishers dial. None: the Service's node port (NodePort) or port."""

    rtmp: int | None = None
    rtmps: int | None = None
    srt: int | None = None
    whip: int | None = None


@dataclass(slots=True, frozen=True)
class DomainSettings:
    """Settings of the installation that end up in children or addresses."""

    media_image: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets in each stream's namespace, added to those of the object."""
    cluster_domain: str = "cluster.local"
    default_store: DefaultStore | None = field(default_factory=DefaultStore)
    """None: switched off; a Recording without a MediaStore is then Stalled/StoreNotFound."""
    gateway_public_host: str = ""
    """What RTMP and RTMPS publishers dial; empty: the address of the Service's load balancer."""
    gateway_public_srt_host: str = ""
    """What SRT publishers dial; empty: the address of that Service's load balancer."""
    gateway_public_ports: PublicPorts = PublicPorts()
    whip_public_host: str = ""
    """The same for WHIP, which has a Service of its own."""
    whip_public_url: str = ""
    """What WHIP URLs begin with, where something in front of it terminates TLS; empty: plain HTTP
    to host and port."""
    denied_ranges: tuple[str, ...] = ()
    """CIDRs that ingest pods and pushers must not dial, the cluster's own among them."""
    allowed_ranges: tuple[str, ...] = ()
    """CIDRs that they may dial all the same."""
    allowed_names: tuple[str, ...] = ()
    """Host names that they may dial although these are the cluster's own."""
    pod_trouble_seconds: float = 120.0
    """A pod that cannot be scheduled, pulled or started for so long needs a person."""
    resources: Mapping[str, Mapping[str, Mapping[str, str]]] = field(
        default_factory=_default_resources
    )
    """Role -> Kubernetes resource requirements."""
    recorder_spool_bytes: int = 1 << 30
    """Disk of a recorder for chunks that the store has not taken yet."""
    ingest_spool_bytes: int = 4 << 30
    """Disk of an ingest pod for sessions that no recorder holds yet."""
    store_scratch_bytes: int = 4 << 30
    """Disk of an S3 store's pod for the MP4 that is being made."""
    store_priority_class: str = ""
    """PriorityClass of the store pods; empty: the cluster's default."""
    log_level: str = "INFO"
    """Of the media pods."""


# --------------------------------------------------------------------------- parts


@dataclass(slots=True, frozen=True)
class Conflict:
    """A child's name that is taken by an object we do not control."""

    kind: str
    name: str
    held_by: str = ""
    """Its controller as ``Kind/name``, or empty when nobody controls it."""
    leaving: bool = False
    """True: it is being deleted, or it belongs to an earlier object of our kind and name, so that
    it goes by itself; nobody has to do anything."""


@dataclass(slots=True, frozen=True)
class ServicePort:
    port: int
    node_port: int | None = None


@dataclass(slots=True, frozen=True)
class PublicService:
    """A Service of the gateway or of WHIP, as far as publishers' addresses follow from it."""

    type: str
    """NodePort, LoadBalancer or ClusterIP."""
    ports: Mapping[str, ServicePort] = field(default_factory=dict)
    """By name: ``rtmp`` and ``rtmps``, or ``srt``, of the gateway; ``http`` of WHIP."""
    load_balancer_host: str | None = None
    """First IP or host name of ``status.loadBalancer.ingress``."""
    name: str = ""
    """``<namespace>/<name>``."""
    last_event: str = ""
    """The event that says why it has no address; empty: it has one, or there is no event."""


@dataclass(slots=True, frozen=True)
class IngestSecret:
    """What the existing Secret ``<name>-ingest`` says; read live, never from a cache of guesses."""

    token: str | None = field(repr=False)
    """The primary publisher's key; None when the Secret lacks it."""
    backup_token: str | None = field(default=None, repr=False)
    """The backup publisher's key."""
    rotation: str | None = None
    """Its annotation `names.ROTATED_ANNOTATION`."""
    version: str = ""
    """The resource version that was read."""


@dataclass(slots=True, frozen=True)
class Sample(Generic[S_co]):
    """The last answer of a media pod."""

    status: S_co
    age_seconds: float
    """Since the pod's last sign of life, answer or heartbeat."""


@dataclass(slots=True, frozen=True)
class Rival:
    """Another Restream of the namespace whose pusher names the same target and key."""

    name: str
    created_at: datetime
    wants: bool
    """It exists, is switched on and has a stream: the target is its, if it is the older one."""
    busy: bool
    """Its pusher is or may be connected at this moment."""


# --------------------------------------------------------------------------- one per kind


@dataclass(slots=True, frozen=True, kw_only=True)
class ObservedLiveStream:
    raw: Raw
    settings: DomainSettings
    fresh_token: str = field(repr=False)
    """128 bit in hex, made anew for each pass; used only when a publishing key is needed."""
    fresh_backup_token: str = field(repr=False)
    """The same for the backup publisher."""
    fresh_hub_token: str = field(repr=False)
    """The same for readers of the hub."""
    operator_uptime_seconds: float = 3600.0
    """Since the operator began to poll media pods; 0 while it has not asked each of them once whose
    word the decision depends on."""
    children: Mapping[ChildKey, Raw] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    ingest_secret: IngestSecret | None = None
    """None: the Secret does not exist."""
    gateway: PublicService | None = None
    gateway_srt: PublicService | None = None
    whip: PublicService | None = None
    """The Services that publishers dial; None: not there."""
    pods: tuple[PodView, ...] = ()
    sample: Sample[IngestStatus] | None = None
    recordings: tuple[Raw, ...] = ()
    """Recordings of this stream: those that are not over or wait to be remembered, and those that
    autoRecord made for recordable sessions."""
    restreams: tuple[Raw, ...] = ()
    """Restreams of the namespace whose streamRef names this stream."""
    recording_names: frozenset[str] = frozenset()
    """Names of other Recordings, among those that a Recording about to be made could get."""


@dataclass(slots=True, frozen=True, kw_only=True)
class ObservedRecording:
    raw: Raw
    settings: DomainSettings
    operator_uptime_seconds: float = 3600.0
    children: Mapping[ChildKey, Raw] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    stream: Raw | None = None
    """The LiveStream that streamRef names."""
    hub_token: str | None = field(default=None, repr=False)
    """``token`` of Secret ``<stream>-hub``; None: not there (yet)."""
    stream_sample: Sample[IngestStatus] | None = None
    """What the stream's hub says."""
    store: Raw | None = None
    """The MediaStore that storeRef (or ``default``) names."""
    store_sample: Sample[StoreStatus] | None = None
    """What its pod says."""
    pods: tuple[PodView, ...] = ()
    sample: Sample[RecorderStatus] | None = None
    stored: StoredResult | None = None
    """The store's answer to ``GET /v1/recordings/<uid>``; None: not asked or no answer."""
    former: StoredResult | None = None
    """What the store holds of an earlier Recording of this name, when it had ended and its deletion
    was never told; ``stored`` is the same then."""
    former_asked_seconds: float | None = None
    """Seconds since the store was first asked for it, when it did not answer; else None. Counted by
    the operator: the Recording's creation time is by another clock."""
    ask_store_again_seconds: float | None = None
    """When to look again, because the store did not answer or has not finished."""


@dataclass(slots=True, frozen=True, kw_only=True)
class ObservedRestream:
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
