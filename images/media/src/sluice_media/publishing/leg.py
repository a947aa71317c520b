"""One leg: ``POST /v1/legs`` to a hub, media up, acknowledgements down.

The body starts with the container's preamble at once: aiohttp holds the request's headers back
until there is a first byte of body, and a publisher sends none before it was accepted.
:func:`look_up` asks the same question without taking the leg.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

import aiohttp
from pydantic import Field, SecretStr, TypeAdapter, ValidationError

from sluice_media.contract import (
    HELLO_HEADER,
    LegAck,
    LegEnd,
    LegGrant,
    LegHello,
    Refusal,
)
from sluice_media.net.chunked_bodies import chunk, takes_more
from sluice_media.timeline.leg_framing import CONTENT_TYPE, encode_formats

PREAMBLE = encode_formats(())
"""Opens every body: a leg begins with a format record, which may have no track."""
_WRITE_BYTES = 256 << 10
_MAX_ANSWER_BYTES = 4_096
_REASONS = {
    HTTPStatus.UNAUTHORIZED: ("BadKey", "the stream key is wrong"),
    HTTPStatus.FORBIDDEN: ("Disabled", "the stream does not take publishers"),
    HTTPStatus.CONFLICT: ("Busy", "somebody else publishes to this stream"),
}
_LINE: TypeAdapter[LegAck | LegEnd] = TypeAdapter(
    Annotated[LegAck | LegEnd, Field(discriminator="type")]
)


@dataclass(slots=True, frozen=True)
class Refused:
    """The hub said no, with 401, 403 or 409."""

    reason: str
    message: str


@dataclass(slots=True, frozen=True)
class Lost:
    """The hub is not there, or is no more; another try may succeed."""

    why: str


@dataclass(slots=True, frozen=True)
class Finished:
    """The body was sent to its end and the hub has closed the leg."""


LegOutcome = Refused | Lost | Finished | LegEnd


class LegBody:
    """What is to be sent up one leg. Bytes are put in; aiohttp takes them out until the hub has
    accepted the leg and has what waited, then they go to the socket where they come in."""

    def __init__(self, preamble: bytes) -> None:
        self._parts: deque[bytes] = deque((preamble,))
        self._more = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self.pending = len(preamble)
        """Bytes that were not handed to the socket yet."""
        self.finished = False
        self.overflowed = False
        """More is pending than may be: the hub answers, but it does not read."""

    def put(self, parts: Sequence[bytes], max_pending: int) -> None:
        if not self._parts and self._transport is not None and takes_more(self._transport):
            self._transport.writelines(chunk(parts))
            return
        self.overflowed = self.overflowed or self.pending > max_pending
        if not self.overflowed:
            self.queue(parts)

    def queue(self, parts: Sequence[bytes]) -> None:
        """Put many parts in, which aiohttp takes out piece by piece."""
        for part in parts:
            self._parts.append(part)
            self.pending += len(part)
        self._more.set()

    def accepted(self, transport: asyncio.Transport | None) -> None:
        """aiohttp has sent the head of the request over ``transport``."""
        self._transport = transport

    def finish(self) -> None:
        """What was put in is all."""
        self._transport = None
        self.finished = True
        self._more.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._parts:
                yield self._take()
            if self.finished:
                return
            self._more.clear()
            await self._more.wait()

    def _take(self) -> bytes:
        taken = []
        size = 0
        while self._parts and size < _WRITE_BYTES:
            taken.append(self._parts.popleft())
            size += len(taken[-1])
        self.pending -= size
        return b"".join(taken)


@dataclass(slots=True, frozen=True)
class LegRequest:
    base_url: str
    key: SecretStr
    hello: LegHello
    answer_seconds: float
    silence_seconds: float


async def run_leg(
    http: aiohttp.ClientSession,
    request: LegRequest,
    body: LegBody,
    *,
    on_accepted: Callable[[], None],
    on_ack: Callable[[LegAck], None],
) -> LegOutcome:
    """Posts one leg and stays with it until it ends. No exception of the network escapes."""
    headers = {"Content-Type": CONTENT_TYPE, **_headers(request.key, request.hello)}
    try:
        async with asyncio.timeout(request.answer_seconds):
            response = await http.post(
                f"{request.base_url}/v1/legs",
                data=aiter(body),
                headers=headers,
                allow_redirects=False,
            )
    except TimeoutError:
        return Lost("the hub does not answer")
    except (aiohttp.ClientError, OSError) as error:
        return Lost(_network_words(error))
    try:
        if response.status == HTTPStatus.OK:
            body.accepted(response.connection.transport if response.connection else None)
            on_accepted()
            return await _read_lines(response, request.silence_seconds, body, on_ack)
        return await _read_refusal(response, request.answer_seconds)
    except TimeoutError:
        return Lost("the hub has fallen silent")
    except (aiohttp.ClientError, OSError) as error:
        return Lost(_network_words(error))
    finally:
        response.close()


async def look_up(
    http: aiohttp.ClientSession, base_url: str, key: SecretStr, hello: LegHello, seconds: float
) -> LegGrant | Refused | Lost:
    """Asks a hub whether the leg could be had now. No exception of the network escapes."""
    try:
        async with (
            asyncio.timeout(seconds),
            http.post(
                f"{base_url}/v1/legs/lookup", headers=_headers(key, hello), allow_redirects=False
            ) as response,
        ):
            if response.status != HTTPStatus.OK:
                return await _read_refusal(response, seconds)
            return LegGrant.model_validate_json(await response.content.read(_MAX_ANSWER_BYTES))
    except TimeoutError:
        return Lost("the hub does not answer")
    except ValidationError:  # not quoted: there may be a passphrase in it
        return Lost("the hub's answer does not parse")
    except (aiohttp.ClientError, OSError) as error:
        return Lost(_network_words(error))


def _headers(key: SecretStr, hello: LegHello) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {key.get_secret_value()}",
        HELLO_HEADER: hello.to_json(),
    }


async def _read_lines(
    response: aiohttp.ClientResponse,
    silence_seconds: float,
    body: LegBody,
    on_ack: Callable[[LegAck], None],
) -> LegOutcome:
    while True:
        try:
            async with asyncio.timeout(silence_seconds):
                line = await response.content.readline()
            if not line:
                return Finished() if body.finished else Lost("the hub has closed the leg")
            if not line.strip():
                continue
            message = _LINE.validate_json(line)
        except ValueError as invalid:  # not our protocol, or a line without end
            word = "does not parse" if isinstance(invalid, ValidationError) else "is too long"
            return Lost(f"a line of the hub {word}")
        if isinstance(message, LegEnd):
            return message
        on_ack(message)
        if body.overflowed:
            return Lost("the hub does not read fast enough")


async def _read_refusal(response: aiohttp.ClientResponse, seconds: float) -> Refused | Lost:
    async with asyncio.timeout(seconds):
        raw = await response.content.read(_MAX_ANSWER_BYTES)
    refusal: Refusal | None = None
    with contextlib.suppress(ValidationError):  # a proxy's page: the status has to do
        refusal = Refusal.model_validate_json(raw)
    if response.status not in _REASONS:
        return Lost(refusal.reason if refusal else f"the hub answers {response.status}")
    reason, message = _REASONS[HTTPStatus(response.status)]
    if refusal:
        reason, message = refusal.reason, refusal.message
    return Refused(reason, message)


def _network_words(error: BaseException) -> str:
    """The kind of a network error; its own text may quote the request."""
    cause = getattr(error, "os_error", error)
    errno_words = getattr(cause, "strerror", None)
    return f"{type(error).__name__}: {errno_words}" if errno_words else type(error).__name__
