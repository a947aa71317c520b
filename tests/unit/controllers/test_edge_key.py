"""The key of the edge: made once, never changed, the same for all operators."""

from __future__ import annotations

import pytest

from sluice_operator.controllers.edge_key import EdgeKeyMissingError, edge_key
from sluice_operator.kube.errors import ForbiddenError
from sluice_operator.kube.resources import SECRETS
from tests.support.controller_world import b64
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
