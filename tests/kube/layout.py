"""The constants of the cluster: names, addresses, ports. No I/O.

All nodes are connected to one bridge of the host, so the host forwards no packets between them.
Each node has its own range of the pod network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.kube.errors import KubeToolError

__all__ = [
    "API_PORT",
    "BRIDGE",
    "CLUSTER_DOMAIN",
    "DNS_ADDRESS",
    "HOST_ADDRESS",
    "MAX_NODES",
    "NODE_NETWORK",
    "POD_NETWORK",
    "SERVICE_NETWORK",
    "Node",
    "node_named",
    "nodes",
]

BRIDGE = "sluice0"
HOST_ADDRESS = "10.88.0.1"
NODE_NETWORK = "10.88.0.0/24"
POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
API_PORT = 6443
MAX_NODES = 2
#: A /23 of pod addresses per node is enough for 250 pods and the terminating ones.
MAX_PODS = 250


@dataclass(frozen=True, slots=True)
class Node:
    """One node, counted from 1. The first one also runs the control plane."""

    index: int

    @property
    def name(self) -> str:
        """The node's name in Kubernetes, e.g. ``n1``."""
        return f"n{self.index}"

    @property
    def netns(self) -> str:
        """Name of the network namespace, and of the host's end of the cable (veth pair) into it."""
        return f"sluice-{self.name}"

    @property
    def address(self) -> str:
        """Address of kubelet, of the node ports and, on the first node, of the API server."""
        return f"10.88.0.{self.index + 1}"

    @property
    def pod_cidr(self) -> str:
        """Range of the addresses of this node's pods."""
        return f"10.244.{(self.index - 1) * 2}.0/23"

    @property
    def cgroup(self) -> str:
        """The node's cgroup below the root of every controller, without a slash."""
        return self.netns

    @property
    def is_first(self) -> bool:
        """True if this node carries the control plane."""
        return self.index == 1


def nodes(count: int) -> Sequence[Node]:
    """Return the first ``count`` nodes.

    Raises:
        KubeToolError: more nodes than the tool supports.
    """
    if not 1 <= count <= MAX_NODES:
        raise KubeToolError(f"--nodes must be 1 to {MAX_NODES}, not {count}")
    return [Node(index) for index in range(1, count + 1)]


def node_named(name: str) -> Node:
    """Return the node of that name.

    Raises:
        KubeToolError: no node has this name.
    """
    for node in nodes(MAX_NODES):
        if node.name == name:
            return node
    known = ", ".join(node.name for node in nodes(MAX_NODES))
    raise KubeToolError(f"no node is called {name!r}; known: {known}")
