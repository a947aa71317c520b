"""The cluster's own address ranges, read from the cluster.

In: the API's ServiceCIDRs (networking.k8s.io/v1, Kubernetes 1.33) and nodes, and the addresses of
the operator's own pod. Out: ranges that no stream may dial on a user's behalf. They are either
whole or not there at all: a guard that lacks the pods' range would let everybody who may make a
LiveStream reach other tenants' pods.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence

import structlog

from sluice_operator.engine.cache import Manifest
from sluice_operator.engine.clock import Clock
from sluice_operator.engine.controller import Api
from sluice_operator.kube.errors import ApiError, ForbiddenError, NotFoundError
from sluice_operator.kube.resources import NODES, SERVICE_CIDRS, Resource

__all__ = ["ClusterRanges", "RangesUnknownError", "ranges_of"]

_EVERY_SECONDS = 60.0
"""Nodes come and go; a new one brings its own range of pods."""
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_log = structlog.get_logger(__name__)


class RangesUnknownError(RuntimeError):
    """The ranges cannot be read from this cluster; somebody has to name them."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The cluster's own address ranges are not known: {why} Without them, streams could "
            "dial pods and Services on a user's behalf. Set the chart's value "
            "network.clusterRanges to the ranges of your pods, Services and nodes."
        )


class ClusterRanges:
    """``on_change`` is called with all ranges when there are more than before."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        own_addresses: Sequence[str],
        on_change: Callable[[tuple[str, ...]], None],
    ) -> None:
        self._api = api
        self._clock = clock
        self._own_addresses = own_addresses
        self._on_change = on_change
        self._known: tuple[str, ...] = ()

    async def find(self) -> None:
        """Read the ranges. Raises RangesUnknownError or ApiError.

        What was found once stays: a node that goes may come back, and each change is one to the
        configuration of every stream."""
        services = await self._list(SERVICE_CIDRS)
        nodes = await self._list(NODES)
        found = merged([*self._known, *ranges_of(services, nodes, self._own_addresses)])
        if found != self._known:
            self._known = found
            _log.info("cluster_ranges", ranges=found)
            self._on_change(found)

    async def run(self) -> None:
        """Look again and again, until cancelled. What is known is kept while it cannot be read."""
        while True:
            await self._clock.sleep(_EVERY_SECONDS)
            try:
                await self.find()
            except (ApiError, RangesUnknownError) as error:
                _log.warning("cluster_ranges_not_readable", error=str(error))

    async def _list(self, resource: Resource) -> Sequence[Manifest]:
        try:
            return (await self._api.list(resource)).items
        except NotFoundError:
            raise RangesUnknownError(
                f"this cluster serves no {resource.plural} (Kubernetes 1.33 and newer do)."
            ) from None
        except ForbiddenError as error:
            raise RangesUnknownError(f"{error}.") from error


def ranges_of(
    service_cidrs: Iterable[Manifest], nodes: Iterable[Manifest], own_addresses: Sequence[str]
) -> list[str]:
    """Return the ranges of Services and pods, and the nodes' addresses.

    Raises:
        RangesUnknownError: one of them is missing, or the operator's own pod is in none of them.
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
    found = [*services, *pods, *hosts]
    networks = [ipaddress.ip_network(text, strict=False) for text in found]
    for address in map(ipaddress.ip_address, own_addresses):
        if not any(address in network for network in networks):
            raise RangesUnknownError(
                f"the operator's own pod has the address {address}, which is in no node's range "
                "of pods (spec.podCIDRs)."
            )
    return found


def merged(ranges: Iterable[str]) -> tuple[str, ...]:
    """Sort ranges, and join those that lie beside or in each other."""
    networks: set[_Network] = {ipaddress.ip_network(text, strict=False) for text in ranges}
    four = [n for n in networks if isinstance(n, ipaddress.IPv4Network)]
    six = [n for n in networks if isinstance(n, ipaddress.IPv6Network)]
    joined = (*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six))
    return tuple(map(str, joined))
