"""Services of hubs, play pods and stores. Clients use their names, never their addresses."""

from __future__ import annotations

from typing import Any

from sluice_operator.domain.manifests.meta import metadata, selector
from sluice_operator.domain.names import PLAY_ROLE, child_name
from sluice_operator.domain.owner import Owner


def hub_host(stream_name: str, namespace: str, cluster_domain: str) -> str:
    """Return the DNS name of a stream's hub. The trailing dot skips the resolver's search list."""
    return f"{child_name(stream_name, 'ingest')}.{namespace}.svc.{cluster_domain}."


def play_host(stream_name: str, namespace: str, cluster_domain: str) -> str:
    """Return the DNS name of a stream's play pods; its addresses are those of the ready pods."""
    return f"{child_name(stream_name, PLAY_ROLE)}.{namespace}.svc.{cluster_domain}."


def service(owner: Owner, port_name: str, port: int, *, headless: bool = False) -> dict[str, Any]:
    """Return the ClusterIP Service of the object's pod; ``headless`` for several pods, among which
    the client chooses."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner, owner.workload_name),
        "spec": {
            "type": "ClusterIP",
            **({"clusterIP": "None"} if headless else {}),
            "selector": selector(owner),
            "publishNotReadyAddresses": False,
            "ports": [{"name": port_name, "port": port, "targetPort": port, "protocol": "TCP"}],
        },
    }
