"""The kinds that the operator uses, and their paths in the Kubernetes API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice_operator.domain.names import GROUP, VERSION


@dataclass(slots=True, frozen=True)
class Resource:
    """A kind in one version, as the API server serves it."""

    group: str
    """Empty for the core API."""
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """Return the URL path of the collection, of one object, or of its subresource."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
EVENTS = Resource("", "v1", "events", "Event")
NODES = Resource("", "v1", "nodes", "Node")
PERSISTENT_VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
PODS = Resource("", "v1", "pods", "Pod")
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICES = Resource("", "v1", "services", "Service")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
JOBS = Resource("batch", "v1", "jobs", "Job")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
SERVICE_CIDRS = Resource("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR")
POD_DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")

LIVE_STREAMS = Resource(GROUP, VERSION, "livestreams", "LiveStream")
RECORDINGS = Resource(GROUP, VERSION, "recordings", "Recording")
RESTREAMS = Resource(GROUP, VERSION, "restreams", "Restream")
MEDIA_STORES = Resource(GROUP, VERSION, "mediastores", "MediaStore")

_KNOWN = {
    (r.api_version, r.kind): r
    for r in (
        CONFIG_MAPS,
        EVENTS,
        PERSISTENT_VOLUME_CLAIMS,
        PODS,
        SECRETS,
        SERVICES,
        DEPLOYMENTS,
        JOBS,
        LEASES,
        NETWORK_POLICIES,
        POD_DISRUPTION_BUDGETS,
        LIVE_STREAMS,
        RECORDINGS,
        RESTREAMS,
        MEDIA_STORES,
    )
}


def resource_of(manifest: Mapping[str, Any]) -> Resource:
    """Return the resource of an object; KeyError for a kind that the operator does not use."""
    return _KNOWN[manifest["apiVersion"], manifest["kind"]]
