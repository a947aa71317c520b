"""The key of the edge: made once, never changed, the same for all operators."""

from __future__ import annotations

import pytest

from sluice_operator.app import _Operator
from sluice_operator.controllers.edge_key import EdgeKeyMissingError, edge_key
from sluice_operator.kube.errors import ForbiddenError
from sluice_operator.kube.resources import SECRETS
from sluice_operator.settings import Settings
from tests.support.controller_world import FakeHttp, b64
from tests.support.engine_fakes import FakeApi


def make_secret(**data: str) -> dict[str, object]:
    meta = {"name": "edge-key", "namespace": "system"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}


async def test_a_missing_key_is_made_and_then_kept() -> None:
    api = FakeApi()
    made = await edge_key(api, "system", "edge-key")
    assert len(bytes.fromhex(made.get_secret_value())) == 32
    assert await edge_key(api, "system", "edge-key") == made
    assert api.writes() == [("create", "Secret", "edge-key")]
    stored = await api.get(SECRETS, "system", "edge-key")
    assert stored["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "sluice"


async def test_of_two_operators_one_makes_it_and_both_use_it() -> None:
    api = FakeApi()

    def be_quicker(verb: str, kind: str, name: str) -> None:
        if verb == "create":
            api.put(make_secret(key=b64("the other's")))

    api.before = be_quicker
    assert (await edge_key(api, "system", "edge-key")).get_secret_value() == "the other's"


async def test_a_key_of_the_administrator_is_used_without_white_space() -> None:
    api = FakeApi()
    api.put(make_secret(key=b64(" theirs\n")))
    assert (await edge_key(api, "system", "edge-key")).get_secret_value() == "theirs"
    assert api.writes() == []


@pytest.mark.parametrize("data", [{}, {"key": ""}, {"other": b64("x")}])
async def test_a_secret_without_a_key_stops_the_operator_with_advice(data: dict[str, str]) -> None:
    api = FakeApi()
    api.put(make_secret(**data))
    with pytest.raises(EdgeKeyMissingError, match="Delete the Secret, and the operator creates it"):
        await edge_key(api, "system", "edge-key")
    assert api.writes() == []


async def test_a_missing_right_is_an_error_of_the_api_server() -> None:
    api = FakeApi()
    api.fail = lambda verb, kind, name: ForbiddenError("no")
    with pytest.raises(ForbiddenError):
        await edge_key(api, "system", "edge-key")


@pytest.mark.parametrize("secret", ["", "edge-key"])
async def test_the_key_is_read_before_the_first_pass_and_only_with_an_edge(secret: str) -> None:
    api = FakeApi()
    settings = Settings(
        media_image="media:1",
        namespace="system",
        network_cluster_ranges=("10.0.0.0/8",),
        edge_key_secret=secret,
        edge_service="edge",
    )
    operator = _Operator(settings)
    parts = operator._assemble(api, api, FakeHttp())  # type: ignore[arg-type]
    assert await operator._prepare(api, parts)  # type: ignore[arg-type]
    assert api.writes() == ([("create", "Secret", "edge-key")] if secret else [])
    assert (parts.context.edge_key is not None) == bool(secret)
    assert (parts.context.settings.edge is not None) == bool(secret)
