"""The address ranges of the cluster, read from the API server.

In: ServiceCIDRs (networking.k8s.io/v1, Kubernetes 1.33), nodes, and the addresses of pods. Out:
ranges that no stream may dial on a user's behalf. Incomplete ranges are an error: without the range
of the pods, every user who may create a LiveStream could reach the pods of other tenants.

With some network plugins, pods have addresses outside the podCIDRs of the nodes. Calico gives each
node blocks from its whole pool, although kubeadm sets spec.podCIDRs. So the ranges are used only if
they contain every pod that the operator sees at its start.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog

from sluice_operator.engine.cache import Manifest
from sluice_operator.engine.clock import Clock
from sluice_operator.engine.controller import Api
from sluice_operator.kube.errors import ApiError, ForbiddenError, NotFoundError
from sluice_operator.kube.resources import NODES, PODS, SERVICE_CIDRS, Resource

_EVERY_SECONDS = 60.0
"""Pause between reads. A new node has a new range of pods."""
_MOST_PODS = 500
"""Maximum pods in one list, to limit memory and time in large clusters."""
_PODS_OF_THE_NETWORK = "spec.hostNetwork=false,status.phase=Running"
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_log = structlog.get_logger(__name__)


class RangesUnknownError(RuntimeError):
    """The ranges cannot be read from this cluster, so the user must set them."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The cluster's own address ranges are not known: {why} Without them, streams could "
            "dial pods and Services on a user's behalf. Set the chart's value "
            "network.clusterRanges to the ranges of your pods, Services and nodes."
        )


class PodOutsideError(RangesUnknownError):
    """The ranges of the cluster do not contain this pod."""

    def __init__(self, pod: str, address: str) -> None:
        super().__init__(
            f"{pod} has the address {address}, which is in no node's range of pods (spec.podCIDRs)."
        )


class ClusterRanges:
    """The known ranges. ``on_change`` is called with all of them when a range is added.

    ``namespaces`` are the namespaces whose pods the operator may list; empty: all."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        own_addresses: Sequence[str],
        on_change: Callable[[tuple[str, ...]], None],
        *,
        namespaces: Sequence[str] = (),
    ) -> None:
        self._api = api
        self._clock = clock
        self._own_addresses = own_addresses
        self._on_change = on_change
        self._namespaces: Sequence[str | None] = namespaces or (None,)
        self._known: tuple[str, ...] = ()

    async def find(self) -> None:
        """Read the ranges. Raises RangesUnknownError or ApiError."""
        found, outside = await self._read()
        if outside:
            raise PodOutsideError(*outside[0])
        self._use(found)

    async def run(self) -> None:
        """Read the ranges again every minute, until cancelled. Keep the known ranges on errors.

        A pod outside the ranges does not end a running operator, because then every user who may
        create pods could stop all broadcasts. Its address is refused from now on, and the log names
        the value to set."""
        while True:
            await self._clock.sleep(_EVERY_SECONDS)
            try:
                found, outside = await self._read()
            except (ApiError, RangesUnknownError) as error:
                _log.warning("cluster_ranges_not_readable", error=str(error))
                continue
            self._use([*found, *(address for _, address in outside)])
            for pod, address in outside:
                _log.error("pod_outside_cluster_ranges", error=str(PodOutsideError(pod, address)))

    async def _read(self) -> tuple[list[str], list[tuple[str, str]]]:
        """Return the ranges, and the pods that are in none of them."""
        # Pods before nodes: so the list of nodes contains the node of each pod.
        pods = [pod for namespace in self._namespaces for pod in await self._pods(namespace)]
        services = await self._list(SERVICE_CIDRS)
        nodes = await self._list(NODES)
        found = ranges_of(services, nodes)
        own = [("The operator's own pod", address) for address in self._own_addresses]
        return found, pods_outside([*self._known, *found], [*own, *pods])

    def _use(self, found: Iterable[str]) -> None:
        """Add the ranges to the known ones. Known ranges are never removed.

        A removed node may come back, and each change rewrites the configuration of every stream.
        """
        ranges = merged([*self._known, *found])
        if ranges != self._known:
            self._known = ranges
            _log.info("cluster_ranges", ranges=ranges)
            self._on_change(ranges)

    async def _pods(self, namespace: str | None) -> list[tuple[str, str]]:
        """Return the pods, as text for messages, with their addresses.

        Pods in the network of their host are left out."""
        listed = await self._list(
            PODS, namespace=namespace, field_selector=_PODS_OF_THE_NETWORK, at_most=_MOST_PODS
        )
        return [
            (f"The pod {pod['metadata']['namespace']}/{pod['metadata']['name']}", entry["ip"])
            for pod in listed
            for entry in pod["status"].get("podIPs") or ()
        ]

    async def _list(self, resource: Resource, **query: Any) -> Sequence[Manifest]:
        try:
            return (await self._api.list(resource, **query)).items
        except NotFoundError:
            raise RangesUnknownError(
                f"this cluster serves no {resource.plural} (Kubernetes 1.33 and newer do)."
            ) from None
        except ForbiddenError as error:
            raise RangesUnknownError(f"{error}.") from error


def ranges_of(service_cidrs: Iterable[Manifest], nodes: Iterable[Manifest]) -> list[str]:
    """Return the ranges of Services and pods, and the nodes' addresses.

    Raises:
        RangesUnknownError: one of them is missing.
    """
    services = [cidr for item in service_cidrs for cidr in item["spec"].get("cidrs") or ()]
    if not services:
        raise RangesUnknownError("no ServiceCIDR names a range.")
    pods: list[str] = []
    hosts: list[str] = []
    for node in nodes:
        pods += node["spec"].get("podCIDRs") or ()
        addresses = (node.get("status") or {}).get("addresses") or ()
        hosts += [entry["address"] for entry in addresses if entry["type"] == "InternalIP"]
    if not pods:
        raise RangesUnknownError("no node names the range of its pods (spec.podCIDRs).")
    return [*services, *pods, *hosts]


def pods_outside(ranges: Iterable[str], pods: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pods, given with their addresses, that are in none of the ranges."""
    networks = [ipaddress.ip_network(text, strict=False) for text in ranges]
    return [
        (pod, text)
        for pod, text in pods
        if not any(ipaddress.ip_address(text) in network for network in networks)
    ]


def merged(ranges: Iterable[str]) -> tuple[str, ...]:
    """Return the ranges sorted, with adjacent and overlapping ranges joined."""
    networks: set[_Network] = {ipaddress.ip_network(text, strict=False) for text in ranges}
    four = [n for n in networks if isinstance(n, ipaddress.IPv4Network)]
    six = [n for n in networks if isinstance(n, ipaddress.IPv6Network)]
    joined = (*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six))
    return tuple(map(str, joined))
