"""The pod template that all roles share: restricted, without a service account token, with keys as
files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice_media.contract import (
    CONFIG_DIR,
    KEYS_DIR,
    SPOOL_DIR,
    STATUS_PORT,
    STORE_DIR,
)
from sluice_operator.api.v1alpha1.common import ApiModel, ContainerResources, Workload
from sluice_operator.domain.manifests.config import CONFIG_KEY
from sluice_operator.domain.manifests.meta import labels, selector
from sluice_operator.domain.names import TEMPLATE_ANNOTATION
from sluice_operator.domain.observed import DomainSettings
from sluice_operator.domain.owner import Owner
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.quantities import bytes_of

_UID = 65532
_KEY_FILE_MODE = 0o440
_DISK = "ephemeral-storage"
_SPOOL = "spool"
_KEY_VOLUME = "key-"
"""Prefix of the names of volumes with keys."""
_MEBIBYTE = 1 << 20
_SPOOL_MARGIN_BYTES = 64 * _MEBIBYTE
_UNREACHABLE_SECONDS = 30
"""Time until a pod on an unreachable node is replaced (default of Kubernetes: 300)."""
_SEEN_SECONDS = 10
"""Time for which a new pod of several must be ready before an old one ends. CoreDNS keeps a name
for 5 s, and clients look it up again every few seconds."""


@dataclass(slots=True, frozen=True)
class KeyMount:
    """A key of a Secret as the file ``<folder>/<file>`` below KEYS_DIR."""

    folder: str
    file: str
    secret: str
    key: str
    optional: bool = False
    """True for a user's Secret. The pod starts without the key and reports that it is missing."""


@dataclass(slots=True, frozen=True)
class PodShape:
    """The parts of a pod that differ from role to role."""

    keys: Sequence[KeyMount]
    ports: Sequence[tuple[str, int]] = ()
    """(name, port) beside the status port."""
    claim: str | None = None
    """PersistentVolumeClaim that is mounted at STORE_DIR."""
    spool_bytes: int | None = None
    """Maximum size of the data on its own disk, which the pod requests; None: hardly any."""
    spool_capped: bool = True
    """False: the volume has no size limit. The kubelet evicts a pod that exceeds one, and the limit
    in a role's configuration can change while its pod stays (a stream is on air)."""
    service_account: str | None = None
    """ServiceAccount whose cloud identity the pod gets; its token is not mounted."""
    priority_class: str | None = None
    """PriorityClass unless ``workload`` has one."""
    grace_seconds: int = 15
    restart_policy: str = "Always"
    workload: Workload | None = field(default=None)
    own_resources: bool = False
    """``workload.resources`` applies to this pod."""
    spread: bool = False
    """The pods of the workload prefer different nodes."""


def deployment(
    owner: Owner, template: dict[str, Any], *, replicas: int = 1, paused: bool = False
) -> dict[str, Any]:
    """Return a Deployment of one pod, replaced without surge, so that a rollout never runs two.

    ``Recreate`` would leave no pod when the template changes after the loss of a node, because the
    lost pod stays Terminating."""
    return _deployment(owner, template, replicas, paused=paused, surge=0, unavailable=1)


def overlapping_deployment(
    owner: Owner, template: dict[str, Any], *, replicas: int, paused: bool
) -> dict[str, Any]:
    """Return a Deployment whose pods are replaced one after the other: a new pod must be ready
    before an old one ends, so the number of ready pods never falls below ``replicas``."""
    made = _deployment(owner, template, replicas, paused=paused, surge=1, unavailable=0)
    made["spec"]["minReadySeconds"] = _SEEN_SECONDS
    return made


def _deployment(
    owner: Owner,
    template: dict[str, Any],
    replicas: int,
    *,
    paused: bool,
    surge: int,
    unavailable: int,
) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": owner.workload_name,
            "namespace": owner.namespace,
            "labels": labels(owner),
        },
        "spec": {
            "replicas": replicas,
            "paused": paused,
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": selector(owner)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
            },
            "template": template,
        },
    }


def template_hash(template: dict[str, Any]) -> str:
    """Return the digest in the template's annotation."""
    digest: str = template["metadata"]["annotations"][TEMPLATE_ANNOTATION]
    return digest


def pod_template(owner: Owner, settings: DomainSettings, shape: PodShape) -> dict[str, Any]:
    """Return the template, annotated with its own digest."""
    workload = shape.workload or Workload()
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": shape.restart_policy,
        "terminationGracePeriodSeconds": shape.grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _UID,
            "runAsGroup": _UID,
            "fsGroup": _UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [*_tolerations(), *_plain(workload.tolerations)],
        "containers": [_container(owner, settings, shape, workload)],
        "volumes": _volumes(owner, shape),
    }
    if shape.service_account:
        spec["serviceAccountName"] = shape.service_account
    secrets = [*settings.image_pull_secrets, *(s.name for s in workload.image_pull_secrets or ())]
    if secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in dict.fromkeys(secrets)]
    if workload.node_selector:
        spec["nodeSelector"] = dict(workload.node_selector)
    priority = workload.priority_class_name or shape.priority_class
    if priority:
        spec["priorityClassName"] = priority
    if shape.spread:
        spec["topologySpreadConstraints"] = [_spread(owner)]
    canonical = json.dumps(spec, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(canonical).hexdigest()[:16]
    return {
        "metadata": {"labels": labels(owner), "annotations": {TEMPLATE_ANNOTATION: digest}},
        "spec": spec,
    }


def _container(
    owner: Owner, settings: DomainSettings, shape: PodShape, workload: Workload
) -> dict[str, Any]:
    ports = [*shape.ports, ("status", STATUS_PORT)]
    return {
        "name": owner.role,
        "image": settings.media_image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": [owner.role],
        "env": [
            _from_field("POD_UID", "metadata.uid"),
            _from_field("POD_NAME", "metadata.name"),
            _from_field("POD_NAMESPACE", "metadata.namespace"),
            {"name": "SLUICE_LOG_LEVEL", "value": settings.log_level},
        ],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports],
        # The startup probe runs every second, so that the pod is ready soon after it listens.
        # The limits are high: on an overloaded node, a restart makes everything slower.
        "startupProbe": _probe("/healthz", period=1, failures=300),
        "readinessProbe": _probe("/readyz", period=3, failures=2),
        "livenessProbe": _probe("/healthz", period=10, failures=6),
        "resources": _resources(owner.role, settings, shape, workload),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(shape),
    }


def _spread(owner: Owner) -> dict[str, Any]:
    """Return the wish for different nodes. Only pods of the same template count: in a rollout, new
    pods would avoid the nodes of the old ones."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(owner)},
        "matchLabelKeys": ["pod-template-hash"],
    }


def _from_field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "status", "scheme": "HTTP"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": 5,
    }


def _resources(
    role: str, settings: DomainSettings, shape: PodShape, workload: Workload
) -> dict[str, Any]:
    if shape.own_resources and workload.resources is not None:
        found = _dump(workload.resources)
    else:
        found = {part: dict(values) for part, values in settings.resources.get(role, {}).items()}
    if shape.spool_bytes is not None:
        disk = {_DISK: _spool_volume(shape.spool_bytes)}
        found["requests"] = disk | found.get("requests", {})
    return found


def spool_room(role: str, settings: DomainSettings, shape: PodShape) -> int:
    """Return the size of the data that fits the disk space of a pod with this shape: its request
    for ephemeral-storage, or its limit if that is lower."""
    resources = _resources(role, settings, shape, shape.workload or Workload())
    sizes = [values[_DISK] for values in resources.values() if _DISK in values]
    return min(_room_in(bytes_of(str(size))) for size in sizes)


def _room_in(volume_bytes: int) -> int:
    """Return the ``limit_bytes`` for which :func:`_spool_volume` returns this size."""
    return max(0, (volume_bytes - _SPOOL_MARGIN_BYTES) * 4 // 5)


def _spool_volume(limit_bytes: int) -> str:
    """Return the volume size for a role that keeps at most ``limit_bytes`` there.

    The margin is for the open chunk or segment and for journals. A pod that exceeds the volume is
    evicted and loses all of it."""
    size = limit_bytes + limit_bytes // 4 + _SPOOL_MARGIN_BYTES
    return f"{-(-size // _MEBIBYTE)}Mi"


def spool_limit_in(workload: Raw | None) -> int | None:
    """Return the ``limit_bytes`` that fits the spool volume of an existing Job or Deployment; None
    when there is no such volume, or it has no limit."""
    template = ((workload or {}).get("spec") or {}).get("template") or {}
    for volume in (template.get("spec") or {}).get("volumes") or ():
        size = (volume.get("emptyDir") or {}).get("sizeLimit")
        if volume["name"] == _SPOOL and size is not None:
            return _room_in(bytes_of(str(size)))
    return None


def _tolerations() -> list[dict[str, Any]]:
    return [
        {
            "key": f"node.kubernetes.io/{state}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": _UNREACHABLE_SECONDS,
        }
        for state in ("unreachable", "not-ready")
    ]


def _plain(models: Sequence[ApiModel] | None) -> list[dict[str, Any]]:
    return [_dump(model) for model in models or ()]


def _dump(model: ApiModel | ContainerResources) -> dict[str, Any]:
    return model.model_dump(by_alias=True, exclude_none=True, mode="json")


def _volume_name(folder: str) -> str:
    return f"{_KEY_VOLUME}{folder}"


def _folders(keys: Sequence[KeyMount]) -> dict[str, list[KeyMount]]:
    """Group the keys by folder; their order is kept."""
    found: dict[str, list[KeyMount]] = {}
    for key in keys:
        found.setdefault(key.folder, []).append(key)
    return found


def _key_volume(folder: str, keys: Sequence[KeyMount]) -> dict[str, Any]:
    """Return a volume: a single Secret directly, several Secrets projected into one folder."""
    by_secret: dict[str, list[KeyMount]] = {}
    for key in keys:
        by_secret.setdefault(key.secret, []).append(key)
    sources = [_key_source(secret, found) for secret, found in by_secret.items()]
    if len(sources) == 1:
        source = {"secretName": sources[0].pop("name"), "defaultMode": _KEY_FILE_MODE}
        return {"name": _volume_name(folder), "secret": source | sources[0]}
    projected = {"defaultMode": _KEY_FILE_MODE, "sources": [{"secret": s} for s in sources]}
    return {"name": _volume_name(folder), "projected": projected}


def _key_source(secret: str, keys: Sequence[KeyMount]) -> dict[str, Any]:
    items = [{"key": key.key, "path": key.file} for key in keys]
    optional = {"optional": True} if any(key.optional for key in keys) else {}
    return {"name": secret, "items": items, **optional}


def key_volumes(volumes: Iterable[Raw]) -> tuple[Raw, ...]:
    """Return the volumes with keys that Sluice added to the pod."""
    return tuple(volume for volume in volumes if volume["name"].startswith(_KEY_VOLUME))


def users_keys(volumes: Iterable[Raw]) -> frozenset[tuple[str, str, str]]:
    """Return the keys of users' Secrets among a pod's volumes, as (file, Secret, key)."""
    found = set()
    for volume in key_volumes(volumes):
        folder = volume["name"].removeprefix(_KEY_VOLUME)
        projected = (volume.get("projected") or {}).get("sources") or ()
        sources = [source["secret"] for source in projected if "secret" in source]
        if "secret" in volume:
            sources.append({**volume["secret"], "name": volume["secret"]["secretName"]})
        for source in sources:
            if source.get("optional"):
                items = source.get("items") or ()
                found |= {(f"{folder}/{i['path']}", source["name"], i["key"]) for i in items}
    return frozenset(found)


def _volumes(owner: Owner, shape: PodShape) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {
            "name": "config",
            "configMap": {
                "name": owner.workload_name,
                "items": [{"key": CONFIG_KEY, "path": CONFIG_KEY}],
            },
        }
    ]
    volumes += [_key_volume(folder, keys) for folder, keys in _folders(shape.keys).items()]
    spool: dict[str, Any] = {}
    if shape.spool_bytes is not None and shape.spool_capped:
        spool["sizeLimit"] = _spool_volume(shape.spool_bytes)
    volumes += [{"name": _SPOOL, "emptyDir": spool}, {"name": "tmp", "emptyDir": {}}]
    if shape.claim:
        volumes.append({"name": "store", "persistentVolumeClaim": {"claimName": shape.claim}})
    return volumes


def _mounts(shape: PodShape) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [{"name": "config", "mountPath": CONFIG_DIR, "readOnly": True}]
    mounts += [
        {"name": _volume_name(folder), "mountPath": f"{KEYS_DIR}/{folder}", "readOnly": True}
        for folder in _folders(shape.keys)
    ]
    mounts += [{"name": _SPOOL, "mountPath": SPOOL_DIR}, {"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    if shape.claim:
        mounts.append({"name": "store", "mountPath": STORE_DIR})
    return mounts
