"""Address of the API server and credentials: a kubeconfig, or the service account of a pod.

``kubernetes.aio.config`` parses kubeconfigs, with exec plugins and OIDC. The kubelet rotates bound
service-account tokens about every 50 minutes. The configuration reads the token file again each
minute, and after a 401 the client loads the whole configuration again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kubernetes.aio import config as kube_config
from kubernetes.aio.client import Configuration

_TOKEN_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class LoginError(RuntimeError):
    """There are no usable credentials; the message names the files that were tried."""


def _is_in_pod() -> bool:
    return _TOKEN_FILE.is_file()


async def load_configuration() -> Configuration:
    """Load credentials from ``KUBECONFIG``, from the pod, or from ``~/.kube/config``.

    The first of these that exists is used. Raises LoginError.
    """
    configuration = Configuration()
    explicit = os.environ.get("KUBECONFIG")
    try:
        if not explicit and _is_in_pod():
            kube_config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        else:
            await kube_config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=explicit, client_configuration=configuration
            )
    except (kube_config.ConfigException, OSError) as error:
        where = explicit or f"{_TOKEN_FILE} or ~/.kube/config"
        raise LoginError(f"no usable credentials in {where}: {error}") from error
    return configuration


async def authorization(configuration: Configuration) -> dict[str, str]:
    """Return the request headers with our credentials; empty with client certificates."""
    settings: dict[str, Any] = dict(await configuration.auth_settings())
    bearer = settings.get("BearerToken", {}).get("value")  # a rotated token was read again
    return {"Authorization": str(bearer)} if bearer else {}
