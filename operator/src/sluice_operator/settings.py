"""The operator's settings: environment variables with the prefix ``SLUICE_``. Never a key."""

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
    PublicPorts,
)
from sluice_operator.domain.quantities import bytes_of

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_Names = Annotated[tuple[str, ...], NoDecode]
"""Comma-separated in the environment."""
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
"""This host, link-local and the clouds' metadata addresses, multicast, reserved, and IPv4 behind
NAT64 (IANA special-purpose registries). Private networks are not among them: cameras live there.
The cluster's own ranges come beside these."""


def _cidr(text: str) -> str:
    """Raises ValueError for what is no address range."""
    return str(ipaddress.ip_network(text, strict=False))


_Ranges = Annotated[tuple[Annotated[str, AfterValidator(_cidr)], ...], NoDecode]
"""Comma-separated in the environment."""


def _quantity(text: str) -> str:
    """Raises ValueError for what is no quantity of bytes greater than 0; empty: not set."""
    if text and bytes_of(text) <= 0:
        raise ValueError("must be greater than 0")
    return text


_Bytes = Annotated[str, AfterValidator(_quantity)]
"""A Kubernetes quantity such as 20Gi."""


def _own_namespace() -> str:
    return _NAMESPACE_FILE.read_text().strip() if _NAMESPACE_FILE.is_file() else "sluice-system"


def _identity() -> str:
    """A container that restarts in its pod keeps the identity, and with it the Lease."""
    return os.environ.get("POD_UID") or f"{socket.gethostname()}-{secrets.token_hex(4)}"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SLUICE_", extra="ignore", frozen=True)

    # --- where and as whom
    namespace: str = Field(default_factory=_own_namespace)
    """Namespace of the operator itself: its Lease is there."""
    lease_name: str = "sluice-operator"
    identity: str = Field(default_factory=_identity)
    """Holder name in the Lease; default: POD_UID, else the host's name and a random number."""
    watch_namespaces: _Names = ()
    """Comma-separated; empty: all namespaces."""

    # --- media pods
    media_image: str
    """Image of the media pods."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: _Names = ()
    """Comma-separated names of Secrets in the streams' namespaces."""
    cluster_domain: str = "cluster.local"
    media_resources: _Resources = Field(default_factory=dict)
    """JSON, role (ingest, record, push, store) -> Kubernetes resource requirements; a role that is
    missing here has its default."""
    media_log_level: str = "INFO"

    # --- the gateway's address
    gateway_service: str = ""
    """Name of the gateway's Service for RTMP and RTMPS; empty: none."""
    gateway_srt_service: str = ""
    """Name of the gateway's Service for SRT; empty: none."""
    gateway_namespace: str = ""
    """Namespace of these and of WHIP's Service; empty: the operator's."""
    gateway_public_host: str = ""
    """What RTMP and RTMPS publishers dial; empty: the address of the Service's load balancer."""
    gateway_public_srt_host: str = ""
    """What SRT publishers dial; empty: the address of that Service's load balancer."""
    gateway_public_rtmp_port: _Port = None
    gateway_public_rtmps_port: _Port = None
    gateway_public_srt_port: _Port = None
    """None: the Service's node port (NodePort) or port (LoadBalancer); none of both: not there."""
    whip_service: str = ""
    """Name of WHIP's Service; empty: none."""
    whip_public_host: str = ""
    whip_public_port: _Port = None
    """The same for WHIP."""
    whip_public_url: str = ""
    """What WHIP URLs begin with, in place of both; empty: ``http://HOST:PORT``."""

    # --- what may be dialled for users: sources that are pulled, targets of restreams
    network_denied_ranges: _Ranges = DENIED_RANGES
    network_cluster_ranges: _Ranges = ()
    """The cluster's pods, Services and nodes; refused like those before. Empty: the operator reads
    them from the cluster, and does not start where it cannot."""
    network_allowed_ranges: _Ranges = ()
    """Wins over both."""
    network_allowed_names: _Names = ()
    """Comma-separated host names that may be dialled although they are the cluster's own."""

    # --- the MediaStore `default` of a namespace that has none
    default_store: bool = True
    default_store_size: str = "20Gi"
    default_store_storage_class: str = ""
    """Empty: the cluster's default class."""
    default_store_limit: _Bytes = ""
    """Empty: none."""
    default_store_s3_bucket: str = ""
    """Set: S3 by the workload's identity in place of a claim, each namespace below its name."""
    default_store_s3_service_account: str = "default"
    """ServiceAccount in each namespace that has the identity."""
    default_store_s3_endpoint: str = ""
    """Empty: Amazon's."""
    default_store_s3_region: str = "us-east-1"
    default_store_s3_prefix: str = ""
    """Before the namespace."""
    default_store_s3_path_style: bool = True

    # --- disks and priority of media pods
    recorder_spool: _Bytes = "1Gi"
    """What a recorder keeps while its store takes nothing."""
    ingest_spool: _Bytes = "4Gi"
    """What an ingest pod keeps of sessions that no recorder holds yet."""
    store_scratch: _Bytes = "4Gi"
    """What an S3 store's pod may use while it makes an MP4."""
    store_priority_class: str = ""
    """Empty: the cluster's default."""

    # --- this process
    pod_addresses: _Names = ()
    """Comma-separated addresses of the operator's own pod; empty: it runs in no pod."""
    observe_mode: Literal["direct", "proxy"] = "direct"
    """How media pods are asked: by their address, or through the API server (from outside)."""
    pod_trouble_seconds: float = Field(default=120, ge=10, le=3_600)
    """A pod that cannot be scheduled, pulled or started for so long needs a person: Stalled."""
    workers: int = Field(default=8, ge=1, le=64)
    """Objects that are reconciled at the same time."""
    bind: str = "0.0.0.0"  # noqa: S104  a pod's own address is not known beforehand
    port: int = Field(default=8080, ge=0, le=65_535)
    """Of /healthz, /readyz and /metrics; 0: any free one."""
    log_level: str = "INFO"
    log_format: Literal["auto", "json", "text"] = "auto"
    """auto: text on a terminal, else json."""

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
        """What decisions depend on."""
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
