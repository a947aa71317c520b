"""Settings of the operator, from environment variables with the prefix ``SLUICE_``.

No setting is a key: keys are in Secrets.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sluice_operator.domain.observed import (
    DefaultBucket,
    DefaultStore,
    DomainSettings,
    EdgeSettings,
    PublicPorts,
)
from sluice_operator.domain.quantities import bytes_of

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_Names = Annotated[tuple[str, ...], NoDecode]
"""Names, separated by commas in the environment."""
_Port = Annotated[int | None, Field(ge=1, le=65_535)]
_Resources = dict[str, dict[str, dict[str, str]]]


DENIED_RANGES = (
    "0.0.0.0/8",
    "100.100.100.200/32",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "64:ff9b::/96",
    "fd00:ec2::254/128",
    "fe80::/10",
    "ff00::/8",
)
"""This host, link-local and cloud metadata addresses, multicast, reserved addresses, and IPv4
behind NAT64 (IANA special-purpose registries). Private networks are allowed, because cameras are
there. The cluster's own ranges are refused in addition."""


def _cidr(text: str) -> str:
    """Return the range in its normal form. Raises ValueError if the text is not a range."""
    return str(ipaddress.ip_network(text, strict=False))


_Ranges = Annotated[tuple[Annotated[str, AfterValidator(_cidr)], ...], NoDecode]
"""Address ranges, separated by commas in the environment."""


def _quantity(text: str) -> str:
    """Return the quantity; empty means not set. Raises ValueError if it is not above 0."""
    if text and bytes_of(text) <= 0:
        raise ValueError("must be greater than 0")
    return text


_Bytes = Annotated[str, AfterValidator(_quantity)]
"""A Kubernetes quantity such as 20Gi."""


def _own_namespace() -> str:
    return _NAMESPACE_FILE.read_text().strip() if _NAMESPACE_FILE.is_file() else "sluice-system"


def _identity() -> str:
    """Return the pod's uid, so that a container that restarts in its pod keeps the Lease.

    Outside a pod, return the host name with a random number."""
    return os.environ.get("POD_UID") or f"{socket.gethostname()}-{secrets.token_hex(4)}"


class Settings(BaseSettings):
    """All settings of the operator, with their defaults."""

    model_config = SettingsConfigDict(env_prefix="SLUICE_", extra="ignore", frozen=True)

    # --- namespaces and identity
    namespace: str = Field(default_factory=_own_namespace)
    """Namespace of the operator and of its Lease."""
    lease_name: str = "sluice-operator"
    identity: str = Field(default_factory=_identity)
    """Holder name in the Lease. Default: POD_UID, or the host name and a random number."""
    watch_namespaces: _Names = ()
    """Namespaces that the operator works in; empty: all namespaces."""

    # --- media pods
    media_image: str
    """Image of the media pods."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: _Names = ()
    """Names of Secrets in the namespaces of the streams."""
    cluster_domain: str = "cluster.local"
    media_resources: _Resources = Field(default_factory=dict)
    """JSON: role (ingest, play, record, push, store) -> Kubernetes resource requirements. A role
    that is missing here uses its default."""
    media_log_level: str = "INFO"

    # --- addresses that publishers dial
    gateway_service: str = ""
    """Name of the gateway's Service for RTMP and RTMPS; empty: there is none."""
    gateway_srt_service: str = ""
    """Name of the gateway's Service for SRT; empty: there is none."""
    gateway_namespace: str = ""
    """Namespace of the Services of the gateway and WHIP; empty: the operator's namespace."""
    gateway_public_host: str = ""
    """Host that RTMP and RTMPS publishers dial; empty: the address of the load balancer."""
    gateway_public_srt_host: str = ""
    """Host that SRT publishers dial; empty: the address of the load balancer."""
    gateway_public_rtmp_port: _Port = None
    """Port that RTMP publishers dial. None: the node port of the Service (type NodePort) or its
    port (other types)."""
    gateway_public_rtmps_port: _Port = None
    """Port that RTMPS publishers dial; None: as for RTMP."""
    gateway_public_srt_port: _Port = None
    """Port that SRT publishers dial; None: as for RTMP."""
    whip_service: str = ""
    """Name of WHIP's Service; empty: there is none."""
    whip_public_host: str = ""
    """Host that WHIP publishers dial; empty: the address of the load balancer."""
    whip_public_port: _Port = None
    """Port that WHIP publishers dial; None: as for RTMP."""
    whip_public_url: str = ""
    """Prefix of WHIP URLs, used instead of host and port; empty: ``http://HOST:PORT``."""

    # --- the edge, from which viewers get playlists and segments
    edge_key_secret: str = ""
    """Name of the Secret with the edge's key, in the operator's namespace. The operator creates it.
    Empty: there is no edge, and nothing can be played."""
    edge_service: str = ""
    """Name of the edge's Service, in the same namespace as the gateway's."""
    edge_service_port: int = Field(default=80, ge=1, le=65_535)
    """Port of the edge's Service inside the cluster."""
    edge_public_url: str = ""
    """Prefix of viewers' URLs, used instead of host and port; empty: ``http://HOST:PORT``."""
    edge_public_host: str = ""
    """Host that viewers dial; empty: the address of the load balancer."""
    edge_public_port: _Port = None
    """Port that viewers dial; None: as for RTMP."""

    # --- addresses that streams may dial: sources that are pulled, targets of restreams
    network_denied_ranges: _Ranges = DENIED_RANGES
    """Ranges that no stream may dial."""
    network_cluster_ranges: _Ranges = ()
    """Ranges of the cluster's pods, Services and nodes. No stream may dial them. Empty: the
    operator reads them from the cluster, and does not start if it cannot."""
    network_allowed_ranges: _Ranges = ()
    """Ranges that streams may dial even if the two lists above contain them."""
    network_allowed_names: _Names = ()
    """Host names that streams may dial even if they are in the cluster."""

    # --- the MediaStore `default`, created in a namespace that has none
    default_store: bool = True
    """true: the operator creates it when a Recording needs it."""
    default_store_size: str = "20Gi"
    """Size of its claim."""
    default_store_storage_class: str = ""
    """StorageClass of its claim; empty: the default of the cluster."""
    default_store_limit: _Bytes = ""
    """Maximum size of its recordings; empty: no limit."""
    default_store_s3_bucket: str = ""
    """Bucket used instead of a claim, with the identity of the ServiceAccount. The recordings of
    each namespace are below the name of the namespace. Empty: a claim."""
    default_store_s3_service_account: str = "default"
    """ServiceAccount with that identity, in each namespace."""
    default_store_s3_endpoint: str = ""
    """Server of the bucket; empty: Amazon S3."""
    default_store_s3_region: str = "us-east-1"
    default_store_s3_prefix: str = ""
    """Prefix of the object keys, before the name of the namespace."""
    default_store_s3_path_style: bool = True

    # --- disks and priority of media pods
    recorder_spool: _Bytes = "1Gi"
    """Maximum size of the chunks that a recorder keeps on disk while its store is away."""
    ingest_spool: _Bytes = "4Gi"
    """Maximum size of the sessions that an ingest pod keeps on disk until recorders hold them."""
    store_scratch: _Bytes = "4Gi"
    """Maximum disk space that the pod of an S3 store uses while it makes an MP4."""
    store_priority_class: str = ""
    """PriorityClass of store pods; empty: the default of the cluster."""

    # --- this process
    pod_addresses: _Names = ()
    """Addresses of the operator's own pod; empty outside a pod."""
    observe_mode: Literal["direct", "proxy"] = "direct"
    """Way to the media pods. direct: by their addresses. proxy: through the API server, for an
    operator outside the cluster."""
    pod_trouble_seconds: float = Field(default=120, ge=10, le=3_600)
    """Time in seconds after which a pod that cannot be scheduled, pulled or started makes its
    object Stalled."""
    workers: int = Field(default=8, ge=1, le=64)
    """Number of objects that are reconciled at the same time."""
    bind: str = "0.0.0.0"  # noqa: S104  a pod's own address is not known beforehand
    port: int = Field(default=8080, ge=0, le=65_535)
    """Port of /healthz, /readyz and /metrics; 0: any free port."""
    log_level: str = "INFO"
    log_format: Literal["auto", "json", "text"] = "auto"
    """auto: text on a terminal, json anywhere else."""

    @field_validator(
        "watch_namespaces",
        "pod_addresses",
        "image_pull_secrets",
        "network_denied_ranges",
        "network_cluster_ranges",
        "network_allowed_ranges",
        "network_allowed_names",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    def domain(self) -> DomainSettings:
        """Return the settings that decisions depend on."""
        defaults = DomainSettings(media_image=self.media_image)
        store = DefaultStore(
            size=self.default_store_size,
            storage_class_name=self.default_store_storage_class or None,
            bucket=self._default_bucket(),
            limit=self.default_store_limit,
        )
        return DomainSettings(
            media_image=self.media_image,
            image_pull_policy=self.image_pull_policy,
            image_pull_secrets=self.image_pull_secrets,
            cluster_domain=self.cluster_domain,
            default_store=store if self.default_store else None,
            gateway_public_host=self.gateway_public_host,
            gateway_public_srt_host=self.gateway_public_srt_host,
            gateway_public_ports=PublicPorts(
                rtmp=self.gateway_public_rtmp_port,
                rtmps=self.gateway_public_rtmps_port,
                srt=self.gateway_public_srt_port,
                whip=self.whip_public_port,
            ),
            whip_public_host=self.whip_public_host,
            whip_public_url=self.whip_public_url,
            denied_ranges=(*self.network_denied_ranges, *self.network_cluster_ranges),
            allowed_ranges=self.network_allowed_ranges,
            allowed_names=self.network_allowed_names,
            pod_trouble_seconds=self.pod_trouble_seconds,
            resources={**defaults.resources, **self.media_resources},
            recorder_spool_bytes=bytes_of(self.recorder_spool),
            ingest_spool_bytes=bytes_of(self.ingest_spool),
            store_scratch_bytes=bytes_of(self.store_scratch),
            store_priority_class=self.store_priority_class,
            log_level=self.media_log_level,
            edge=self._edge(),
        )

    def _edge(self) -> EdgeSettings | None:
        if not self.edge_key_secret or not self.edge_service:
            return None
        namespace = self.gateway_namespace or self.namespace
        return EdgeSettings(
            host=f"{self.edge_service}.{namespace}.svc.{self.cluster_domain}",
            port=self.edge_service_port,
            public_url=self.edge_public_url,
            public_host=self.edge_public_host,
            public_port=self.edge_public_port,
        )

    def _default_bucket(self) -> DefaultBucket | None:
        if not self.default_store_s3_bucket:
            return None
        return DefaultBucket(
            bucket=self.default_store_s3_bucket,
            service_account_name=self.default_store_s3_service_account,
            endpoint=self.default_store_s3_endpoint,
            region=self.default_store_s3_region,
            prefix=self.default_store_s3_prefix,
            path_style=self.default_store_s3_path_style,
        )
