"""Where the API server is and who we are there: kubeconfig on a desk, service account in a pod.

Parsing of kubeconfigs (exec plugins and OIDC too) is ``kubernetes.aio.config``'s. Bound
service-account tokens are rotated by the kubelet about every 50 minutes; the configuration's own
hook reads the file again each minute, and a 401 makes the client load everything anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kubernetes.aio import config as kube_config
from kubernetes.aio.client import Configuration

_TOKEN_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class LoginError(RuntimeError):
    """There are no usable credentials; the text says what was looked for."""


def _is_in_pod() -> bool:
    return _TOKEN_FILE.is_file()


async def load_configuration() -> Configuration:
    """Credentials from ``KUBECONFIG``, else of the pod, else ``~/.kube/config``.

    Raises LoginError.
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
    """The request headers that carry our credentials; empty with client certificates."""
    settings: dict[str, Any] = dict(await configuration.auth_settings())
    bearer = settings.get("BearerToken", {}).get("value")  # a rotated token was read again
    return {"Authorization": str(bearer)} if bearer else {}
