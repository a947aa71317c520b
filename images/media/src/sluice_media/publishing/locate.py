"""The address of a stream's hub, from the cluster's DNS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from sluice_media.net.authority import authority


class StreamNotFound(Exception):  # noqa: N818  says what it is
    """There is no Service of that name (NXDOMAIN)."""


class HubNotReachable(Exception):  # noqa: N818  says what it is
    """The lookup of the name failed, or the name has no address at the moment."""


_LOOKUP_SECONDS = 3.0
"""Timeout of a lookup. A resolver without an answer retries for 10 s and more."""

Locate = Callable[[str, str], Awaitable[str]]
"""(namespace, stream) -> base URL of its hub; raises StreamNotFound or HubNotReachable."""


def service_locator(cluster_domain: str, port: int) -> Locate:
    """Return a function that looks up ``<stream>-ingest.<namespace>.svc.<cluster_domain>.``

    The trailing dot keeps the resolver from trying the pod's search domains first.
    """

    async def locate(namespace: str, stream: str) -> str:
        host = f"{stream}-ingest.{namespace}.svc.{cluster_domain}."
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_LOOKUP_SECONDS):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise HubNotReachable("the cluster's DNS does not answer in time") from error
        except socket.gaierror as error:
            if error.errno == socket.EAI_NONAME:
                raise StreamNotFound from error
            raise HubNotReachable("the cluster's DNS does not answer") from error
        except OSError as error:
            raise HubNotReachable("the name cannot be looked up") from error
        if not found:
            raise HubNotReachable("the Service has no address")
        *_, address = found[0]
        return f"http://{authority(str(address[0]), port)}"

    return locate
