"""The key of the edge: a Secret in the operator's own namespace, made once.

The edge and the operator derive the token of each stream from it (`manifests.secret.edge_token`).
The operator creates the Secret when it is missing and never changes it. Of two operators that start
together one creates it, and both use what is stored.
"""

from __future__ import annotations

import secrets
from base64 import b64encode

import structlog
from pydantic import SecretStr

from sluice_operator.controllers.context import secret_value
from sluice_operator.domain.names import MANAGED_BY, MANAGED_BY_LABEL
from sluice_operator.engine.controller import Api
from sluice_operator.kube.errors import AlreadyExistsError, NotFoundError
from sluice_operator.kube.resources import SECRETS

EDGE_KEY = "key"
_KEY_BYTES = 32
_log = structlog.get_logger(__name__)


class EdgeKeyMissingError(RuntimeError):
    """The Secret of the edge exists and holds no key."""

    def __init__(self, namespace: str, name: str) -> None:
        super().__init__(
            f"Secret {namespace}/{name} has no text under `{EDGE_KEY}`, so the edge and the play "
            "pods have no token. Delete the Secret, and the operator creates it with a new key; or "
            "put at least 32 random characters there."
        )


async def edge_key(api: Api, namespace: str, name: str) -> SecretStr:
    """Return the key; create its Secret when it is missing.

    Raises EdgeKeyMissingError or ApiError."""
    try:
        secret = await api.get(SECRETS, namespace, name)
    except NotFoundError:
        try:
            secret = await api.create(_manifest(namespace, name))
            _log.info("edge_key_created", namespace=namespace, secret=name)
        except AlreadyExistsError:
            secret = await api.get(SECRETS, namespace, name)
    value = secret_value(secret, EDGE_KEY)
    if value is None:
        raise EdgeKeyMissingError(namespace, name)
    return SecretStr(value)


def _manifest(namespace: str, name: str) -> dict[str, object]:
    key = secrets.token_hex(_KEY_BYTES)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                "app.kubernetes.io/part-of": "sluice",
                "app.kubernetes.io/component": "edge",
                MANAGED_BY_LABEL: MANAGED_BY,
            },
        },
        "type": "Opaque",
        "data": {EDGE_KEY: b64encode(key.encode()).decode()},
    }
