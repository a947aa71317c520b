"""Services of hubs and stores. Clients use their names, never their addresses."""

from __future__ import annotations

from typing import Any

from sluice_operator.domain.manifests.meta import metadata, selector
from sluice_operator.domain.names import child_name
from sluice_operator.domain.owner import Owner


def hub_host(stream_name: str, namespace: str, cluster_domain: str) -> str:
    """Return the DNS name of a stream's hub. The trailing dot skips the resolver's search list."""
    return f"{child_name(stream_name, 'ingest')}.{namespace}.svc.{cluster_domain}."


def service(owner: Owner, port_name: str, port: int) -> dict[str, Any]:
    """Return the ClusterIP Service of the object's single pod."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner, owner.workload_name),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(owner),
            "publishNotReadyAddresses": False,
            "ports": [{"name": port_name, "port": port, "targetPort": port, "protocol": "TCP"}],
        },
    }
