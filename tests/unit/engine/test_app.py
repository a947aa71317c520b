"""How the operator is put together."""

from __future__ import annotations

from kubernetes.aio.client import Configuration

from sluice_operator.app import _Operator
from sluice_operator.kube.client import KubeClient
from sluice_operator.pods.http import ProxyHttp
from sluice_operator.settings import Settings


async def test_the_lease_has_a_client_of_its_own() -> None:
    """Requests that wait for a connection must not keep it from being renewed."""
    configuration = Configuration(host="http://127.0.0.1:9")
    api, lease_api = KubeClient(configuration), KubeClient(configuration, connections=1)
    operator = _Operator(Settings(media_image="media", namespace="ns"))
    parts = operator._assemble(api, lease_api, ProxyHttp(api))
    assert parts.leader._api is lease_api
    assert parts.events._api is api
    for client in (api, lease_api):
        await client.close()
