"""Check that viewers can read the present session: a request through the edge.

Nothing else proves it: between a play pod and its viewers are the Service, its endpoints, network
policies, the edge and its token. In: the session and the edge's URL. Out: whether the edge returned
the multivariant playlist of this session, or a sentence about what came instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import aiohttp

CHECK_SECONDS = 15.0
"""Time between two checks while the edge answers."""
RETRY_SECONDS = 1.0
USER_AGENT = "sluice-check"
"""User-Agent of the check. The edge does not count it as a viewer."""
_TIMEOUT = aiohttp.ClientTimeout(total=4.0)
_MAX_BYTES = 64 << 10
_TOKEN_SECONDS = 60


@dataclass(slots=True, frozen=True)
class EdgeAnswer:
    """Result of a check."""

    answers: bool
    message: str | None = None
    """Sentence for the user; None when the edge answers."""


class EdgeCheck:
    """Repeated check of one stream. ``sign`` returns the token of a URL for an expiry; it returns
    an empty text for a public stream."""

    def __init__(self, http: aiohttp.ClientSession, sign: Callable[[int], str]) -> None:
        self._http = http
        self._sign = sign

    async def run(self, edge_url: str, session: str) -> EdgeAnswer:
        """Request the multivariant playlist through the edge."""
        try:
            async with self._http.get(
                f"{self._signed(edge_url)}/index.m3u8",
                timeout=_TIMEOUT,
                headers={"User-Agent": USER_AGENT},
                allow_redirects=False,
            ) as response:
                body = await response.content.read(_MAX_BYTES)
        except TimeoutError:
            return EdgeAnswer(False, "The edge did not answer within 4 seconds.")
        except (aiohttp.ClientError, OSError) as error:
            return EdgeAnswer(False, f"The edge cannot be reached ({type(error).__name__}).")
        if response.status != 200:
            return EdgeAnswer(False, f"The edge answered with status {response.status}.")
        if session.encode() not in body:
            return EdgeAnswer(False, "The edge answered with the playlist of another session.")
        return EdgeAnswer(True)

    def _signed(self, edge_url: str) -> str:
        token = self._sign(int(time.time()) + _TOKEN_SECONDS)
        if not token:
            return edge_url
        parts = urlsplit(edge_url)
        return urlunsplit(parts._replace(path=f"/~{token}{parts.path}"))
