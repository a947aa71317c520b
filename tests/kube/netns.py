"""Network namespaces as nodes: one bridge on the host, and one cable (veth pair) per node.

The rules for forwarding, for masquerading and of kube-proxy are in the namespaces of the nodes. The
host gets one bridge and a few routes. Its firewall and its forwarding stay unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.kube.commands import run, succeeds
from tests.kube.layout import (
    BRIDGE,
    HOST_ADDRESS,
    NODE_NETWORK,
    POD_NETWORK,
    SERVICE_NETWORK,
    Node,
)

__all__ = ["create", "enter", "exists", "remove", "remove_bridge", "set_link", "set_routes"]

NETNS_FOLDER = Path("/run/netns")


def enter(node: Node) -> list[str]:
    """Return the prefix of a command that runs in the node's network namespace.

    ``nsenter`` replaces itself with the command, so its pid is the pid of the command. Unlike ``ip
    netns exec`` it keeps the mount namespace, in which kubelet's mounts must be visible.
    """
    return ["nsenter", f"--net={NETNS_FOLDER / node.netns}", "--"]


def exists(node: Node) -> bool:
    """Return whether the node's namespace and its cable exist."""
    return (NETNS_FOLDER / node.netns).exists() and _link_exists(node.netns)


def create(node: Node) -> None:
    """Make the missing ones of bridge, namespace, cable and addresses."""
    if not _link_exists(BRIDGE):
        run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    run(["ip", "address", "replace", f"{HOST_ADDRESS}/24", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])
    if exists(node):
        return
    remove(node)
    inside = f"{node.netns}-e"
    run(["ip", "netns", "add", node.netns])
    run(["ip", "link", "add", node.netns, "type", "veth", "peer", "name", inside])
    run(["ip", "link", "set", inside, "netns", node.netns, "name", "eth0"])
    run(["ip", "link", "set", node.netns, "master", BRIDGE, "up"])
    for words in _inside_commands(node):
        run([*enter(node), *words])


def _inside_commands(node: Node) -> Sequence[Sequence[str]]:
    return [
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{node.address}/24", "dev", "eth0"],
        ["ip", "link", "set", "eth0", "up"],
        ["ip", "route", "add", "default", "via", HOST_ADDRESS],
        ["sysctl", "-qw", "net.ipv4.ip_forward=1"],
        # Packets to pods, nodes and the host keep the pod's address: these have a route back.
        ["iptables", "-w", "-t", "nat", "-N", "SLUICE-MASQ"],
        ["iptables", "-w", "-t", "nat", "-A", "SLUICE-MASQ", "-d", POD_NETWORK, "-j", "RETURN"],
        ["iptables", "-w", "-t", "nat", "-A", "SLUICE-MASQ", "-d", NODE_NETWORK, "-j", "RETURN"],
        ["iptables", "-w", "-t", "nat", "-A", "SLUICE-MASQ", "-j", "MASQUERADE"],
        [
            *("iptables", "-w", "-t", "nat", "-A", "POSTROUTING"),
            *("-s", POD_NETWORK, "-o", "eth0", "-j", "SLUICE-MASQ"),
        ],
        # Refuse a Service for which kube-proxy has no rule yet. If the packets left the node,
        # connection tracking would keep that route for every retry within two minutes.
        ["iptables", "-w", "-A", "FORWARD", "-d", SERVICE_NETWORK, "-j", "REJECT"],
    ]


def set_routes(all_nodes: Sequence[Node]) -> None:
    """Set the routes of the host and of every node to all pods, and to Services through the first
    node."""
    run(["ip", "route", "replace", POD_NETWORK, "via", all_nodes[0].address])
    run(["ip", "route", "replace", SERVICE_NETWORK, "via", all_nodes[0].address])
    for node in all_nodes[1:]:
        run(["ip", "route", "replace", node.pod_cidr, "via", node.address])
    for node in all_nodes:
        for other in all_nodes:
            if other != node:
                words = ["ip", "route", "replace", other.pod_cidr, "via", other.address]
                run([*enter(node), *words])


def set_link(node: Node, *, up: bool) -> None:
    """Connect or disconnect the node's cable."""
    run(["ip", "link", "set", node.netns, "up" if up else "down"])


def remove(node: Node) -> None:
    """Remove the node's cable and namespace, with everything configured inside it."""
    if _link_exists(node.netns):
        run(["ip", "link", "delete", node.netns])
    if (NETNS_FOLDER / node.netns).exists():
        run(["ip", "netns", "delete", node.netns])


def remove_bridge() -> None:
    """Remove the host's bridge; the routes through it go with it."""
    if _link_exists(BRIDGE):
        run(["ip", "link", "delete", BRIDGE])


def _link_exists(name: str) -> bool:
    return succeeds(["ip", "link", "show", "dev", name])
