"""The cluster's own ranges: whole, or the operator does not start."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from sluice_operator.app import _Operator
from sluice_operator.controllers.ranges import ClusterRanges, RangesUnknownError
from sluice_operator.kube.errors import ApiError, ForbiddenError, NotFoundError, UnavailableError
from sluice_operator.settings import Settings
from tests.support.controller_world import FakeHttp, make_livestream
from tests.support.engine_fakes import FakeApi, FakeClock


def service_cidr(*cidrs: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes", "namespace": ""},
        "spec": {"cidrs": list(cidrs)},
    }


def node(name: str, address: str, *pod_cidrs: str) -> dict[str, Any]:
    addresses = [
        {"type": "Hostname", "address": name},
        {"type": "InternalIP", "address": address},
        {"type": "ExternalIP", "address": "203.0.113.9"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "namespace": ""},
        "spec": {"podCIDRs": list(pod_cidrs)},
        "status": {"addresses": addresses},
    }


def pod(name: str, *addresses: str, namespace: str = "shop", host: bool = False) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hostNetwork": host},
        "status": {"phase": "Running", "podIPs": [{"ip": address} for address in addresses]},
    }


class Ranges:
    """A cluster that says what it is made of, and an operator in a pod of it."""

    def __init__(
        self,
        *objects: dict[str, Any],
        own: Sequence[str] = ("10.244.1.7",),
        namespaces: tuple[str, ...] = (),
    ) -> None:
        self.api, self.clock = FakeApi(), FakeClock()
        for obj in objects:
            self.api.put(obj)
        self.told: list[tuple[str, ...]] = []
        self.ranges = ClusterRanges(
            self.api, self.clock, own, self.told.append, namespaces=namespaces
        )


CIDR = service_cidr("10.96.0.0/16")
FIRST = node("n1", "192.0.2.1", "10.244.0.0/24")
SECOND = node("n2", "192.0.2.2", "10.244.1.0/24")


async def test_services_pods_and_nodes_are_found() -> None:
    cluster = Ranges(CIDR, FIRST, SECOND)
    await cluster.ranges.find()
    [found] = cluster.told
    assert set(found) == {"10.96.0.0/16", "10.244.0.0/23", "192.0.2.1/32", "192.0.2.2/32"}


async def test_both_families_are_found() -> None:
    cluster = Ranges(
        service_cidr("10.96.0.0/16", "fd00:1::/108"),
        node("n1", "192.0.2.1", "10.244.0.0/24", "fd00:2::/64"),
        own=("10.244.0.7", "fd00:2::7"),
    )
    await cluster.ranges.find()
    assert {"fd00:1::/108", "fd00:2::/64"} <= set(cluster.told[0])


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ((FIRST, SECOND), "no ServiceCIDR names a range"),
        ((CIDR,), "no node names the range of its pods"),
        ((CIDR, node("n1", "192.0.2.1")), "no node names the range of its pods"),
        ((CIDR, FIRST), "own pod has the address 10.244.1.7"),
    ],
)
async def test_ranges_that_are_not_whole_are_none(
    objects: tuple[dict[str, Any], ...], words: str
) -> None:
    cluster = Ranges(*objects)
    with pytest.raises(RangesUnknownError, match=words) as caught:
        await cluster.ranges.find()
    assert "network.clusterRanges" in str(caught.value)
    assert cluster.told == []


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (NotFoundError("no such kind"), "serves no servicecidrs"),
        (ForbiddenError("servicecidrs is forbidden"), "servicecidrs is forbidden"),
    ],
)
async def test_a_cluster_that_does_not_say_is_told_apart_from_one_that_is_away(
    refusal: ApiError, words: str
) -> None:
    cluster = Ranges(CIDR, FIRST, SECOND)
    cluster.api.fail = lambda verb, kind, name: refusal if kind == "ServiceCIDR" else None
    with pytest.raises(RangesUnknownError, match=words) as caught:
        await cluster.ranges.find()
    assert "network.clusterRanges" in str(caught.value)
    cluster.api.fail = lambda verb, kind, name: UnavailableError("away")
    with pytest.raises(UnavailableError):
        await cluster.ranges.find()


async def test_a_new_node_brings_its_range_and_a_lost_one_takes_none_away() -> None:
    cluster = Ranges(CIDR, FIRST, SECOND)
    await cluster.ranges.find()
    await cluster.ranges.find()
    assert len(cluster.told) == 1, "nothing new, nothing to do"
    del cluster.api.objects["Node", "", "n2"]
    cluster.api.put(node("n3", "192.0.2.3", "10.244.9.0/24"))
    cluster.api.put(node("n4", "192.0.2.4", "10.244.1.0/24"))
    await cluster.ranges.find()
    assert {"10.244.0.0/23", "10.244.9.0/24", "192.0.2.2/31"} <= set(cluster.told[1])


async def test_a_pod_outside_the_nodes_ranges_makes_them_unknown() -> None:
    """A network plugin with a pool of its own: the operator's own pod may be inside by chance."""
    nodes = [node(f"n{n}", f"192.0.2.{n}", f"192.168.{n}.0/24") for n in range(50)]
    inside, outside = pod("a", "192.168.3.9"), pod("b", "192.168.213.5")
    cluster = Ranges(CIDR, *nodes, inside, outside, own=("192.168.17.66",))
    words = "pod shop/b has the address 192.168.213.5"
    with pytest.raises(RangesUnknownError, match=words) as caught:
        await cluster.ranges.find()
    assert "network.clusterRanges" in str(caught.value)
    assert cluster.told == []
    del cluster.api.objects["Pod", "shop", "b"]
    await cluster.ranges.find()


async def test_each_address_of_a_pod_counts_and_those_of_its_host_do_not() -> None:
    on_host = pod("proxy", "203.0.113.4", host=True)
    over = pod("done", "10.9.9.9")
    over["status"]["phase"] = "Succeeded"
    cluster = Ranges(CIDR, FIRST, SECOND, on_host, over, pod("starting"))
    await cluster.ranges.find()
    cluster.api.put(pod("both", "10.244.0.9", "fd00:9::9"))
    with pytest.raises(RangesUnknownError, match="fd00:9::9"):
        await cluster.ranges.find()


async def test_only_the_namespaces_that_the_operator_may_read_are_looked_at() -> None:
    cluster = Ranges(CIDR, FIRST, SECOND, pod("b", "10.9.9.9"), namespaces=("church", "club"))
    await cluster.ranges.find()
    cluster.api.put(pod("c", "10.9.9.9", namespace="club"))
    with pytest.raises(RangesUnknownError, match="pod club/c"):
        await cluster.ranges.find()


async def test_a_pod_outside_is_refused_by_an_operator_at_work_which_says_what_to_set() -> None:
    cluster = Ranges(CIDR, FIRST, SECOND)
    await cluster.ranges.find()
    looking = asyncio.create_task(cluster.ranges.run())
    cluster.api.fail = lambda verb, kind, name: UnavailableError("away")
    await cluster.clock.advance(61)
    assert not looking.done()
    cluster.api.fail = lambda verb, kind, name: None
    cluster.api.put(pod("b", "10.9.9.9"))
    with structlog.testing.capture_logs() as logs:
        await cluster.clock.advance(61)
        await cluster.clock.advance(61)
    assert not looking.done()
    assert "10.9.9.9/32" in cluster.told[-1]
    (said,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert "pod shop/b" in said["error"]
    assert "network.clusterRanges" in said["error"]
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)


async def test_no_stream_is_looked_at_without_the_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the settings to what every stream's guard gets."""
    monkeypatch.setenv("SLUICE_MEDIA_IMAGE", "media:1")
    monkeypatch.setenv("SLUICE_POD_ADDRESSES", "10.244.0.7")
    api = FakeApi()
    for obj in (CIDR, make_livestream()):
        api.put(obj)
    operator = _Operator(Settings())
    parts = operator._assemble(api, api, FakeHttp())  # type: ignore[arg-type]
    with pytest.raises(RangesUnknownError):
        await operator._prepare(api, parts)  # type: ignore[arg-type]
    assert len(parts.cache) == 0
    api.put(FIRST)
    assert await operator._prepare(api, parts)  # type: ignore[arg-type]
    assert {"10.96.0.0/16", "10.244.0.0/24", "192.0.2.1/32"} <= set(
        parts.context.settings.denied_ranges
    )


async def test_ranges_that_are_named_need_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_MEDIA_IMAGE", "media:1")
    monkeypatch.setenv("SLUICE_NETWORK_CLUSTER_RANGES", "10.0.0.0/8")
    operator = _Operator(Settings())
    api = FakeApi()
    parts = operator._assemble(api, api, FakeHttp())  # type: ignore[arg-type]
    assert parts.ranges is None
    assert "10.0.0.0/8" in parts.context.settings.denied_ranges
