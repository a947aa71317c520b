"""The gateway's side of one leg: media up to the hub, acknowledgements down.

``POST /v1/legs`` with an HTTP Upgrade opens the leg. Then framed records go up, and one
acknowledgement as a line of JSON comes down every 200 ms. :func:`look_up` only
inquires whether the leg is free.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
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
    LegReason,
    Refusal,
)
from sluice_media.net.upgrade import UpgradeRefused, open_upgraded, takes_more
from sluice_media.net.writing import write
from sluice_media.timeline.leg_framing import LEG_PROTOCOL, encode_formats

PREAMBLE = encode_formats(())
"""Opens every body: a leg begins with a format record, which may have no track."""
_WRITE_BYTES = 256 << 10
_MAX_ANSWER_BYTES = 4_096
_MAX_LINE_BYTES = 64 << 10
_REASONS: dict[HTTPStatus, tuple[str, str]] = {
    HTTPStatus.UNAUTHORIZED: (LegReason.BAD_KEY, "the stream key is wrong"),
    HTTPStatus.FORBIDDEN: (LegReason.DISABLED, "the stream does not take publishers"),
    HTTPStatus.CONFLICT: (LegReason.BUSY, "somebody else publishes to this stream"),
}
_LINE: TypeAdapter[LegAck | LegEnd] = TypeAdapter(
    Annotated[LegAck | LegEnd, Field(discriminator="type")]
)


@dataclass(slots=True, frozen=True)
class Refused:
    """The hub refused the leg, with 401, 403 or 409."""

    reason: str
    message: str


@dataclass(slots=True, frozen=True)
class Lost:
    """The hub does not answer, or has gone. Another try may succeed."""

    why: str


@dataclass(slots=True, frozen=True)
class Finished:
    """The body was sent to its end, and the hub has closed the leg."""


LegOutcome = Refused | Lost | Finished | LegEnd


class LegBody:
    """The records to send up one leg.

    Records go straight to the socket once the hub has taken the leg and everything queued before.
    """

    def __init__(self, preamble: bytes) -> None:
        self._records: deque[bytes] = deque((preamble,))
        self._more = asyncio.Event()
        self._transport: asyncio.WriteTransport | None = None
        self.pending = len(preamble)
        """Queued bytes that the socket has not got."""
        self.finished = False
        self.overflowed = False
        """More bytes were pending than allowed: the hub answers, but it does not read."""

    def put(self, records: Sequence[bytes], max_pending: int) -> None:
        """Send records, or queue them while the hub takes no more."""
        if not self._records and self._transport is not None and takes_more(self._transport):
            self._transport.writelines(records)
            return
        self.overflowed = self.overflowed or self.pending > max_pending
        if not self.overflowed:
            self.queue(records)

    def queue(self, records: Sequence[bytes]) -> None:
        """Queue records, however many."""
        for record in records:
            self._records.append(record)
            self.pending += len(record)
        self._more.set()

    def finish(self) -> None:
        """End the body after the queued records."""
        self._transport = None
        self.finished = True
        self._more.set()

    async def send(self, writer: asyncio.StreamWriter) -> None:
        """Send the records until the body is finished. Raises OSError."""
        if not self.finished:
            self._transport = writer.transport
        while True:
            while self._records:
                write(writer, self._take())
                await writer.drain()
            if self.finished:
                if not writer.is_closing():
                    writer.write_eof()
                return
            self._more.clear()
            await self._more.wait()

    def _take(self) -> bytes:
        taken = []
        size = 0
        while self._records and size < _WRITE_BYTES:
            taken.append(self._records.popleft())
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
    request: LegRequest,
    body: LegBody,
    *,
    on_accepted: Callable[[], None],
    on_ack: Callable[[LegAck], None],
) -> LegOutcome:
    """Serve one leg until it ends. Network errors are returned as an outcome, not raised."""
    try:
        async with asyncio.timeout(request.answer_seconds):
            sock, begun = await open_upgraded(
                f"{request.base_url}/v1/legs",
                LEG_PROTOCOL,
                _headers(request.key, request.hello),
                method="POST",
            )
    except TimeoutError:
        return Lost("the hub does not answer")
    except UpgradeRefused as refused:
        return _refusal(refused.status, refused.body)
    except OSError as error:
        return Lost(_network_error(error))
    reader, writer = await asyncio.open_connection(sock=sock, limit=_MAX_LINE_BYTES)
    reader.feed_data(begun)
    on_accepted()
    sending = asyncio.create_task(body.send(writer), name="leg-body")
    try:
        return await _read_lines(reader, request.silence_seconds, body, on_ack)
    except TimeoutError:
        return Lost("the hub has fallen silent")
    except OSError as error:
        return Lost(_network_error(error))
    finally:
        sending.cancel()
        [failure] = await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort()
        if isinstance(failure, Exception) and not isinstance(failure, OSError):
            raise failure


async def look_up(
    http: aiohttp.ClientSession, base_url: str, key: SecretStr, hello: LegHello, seconds: float
) -> LegGrant | Refused | Lost:
    """Look up whether the leg is free for this key. Network errors are returned, not raised."""
    try:
        async with (
            asyncio.timeout(seconds),
            http.post(
                f"{base_url}/v1/legs/lookup", headers=_headers(key, hello), allow_redirects=False
            ) as response,
        ):
            raw = await response.content.read(_MAX_ANSWER_BYTES)
            if response.status != HTTPStatus.OK:
                return _refusal(response.status, raw)
            return LegGrant.model_validate_json(raw)
    except TimeoutError:
        return Lost("the hub does not answer")
    except ValidationError:  # not quoted: it may hold a passphrase
        return Lost("the hub's answer cannot be parsed")
    except (aiohttp.ClientError, OSError) as error:
        return Lost(_network_error(error))


def _headers(key: SecretStr, hello: LegHello) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {key.get_secret_value()}",
        HELLO_HEADER: hello.to_json(),
    }


async def _read_lines(
    reader: asyncio.StreamReader,
    silence_seconds: float,
    body: LegBody,
    on_ack: Callable[[LegAck], None],
) -> LegOutcome:
    while True:
        try:
            async with asyncio.timeout(silence_seconds):
                line = await reader.readline()
            if not line:
                return Finished() if body.finished else Lost("the hub has closed the leg")
            if not line.strip():
                continue
            message = _LINE.validate_json(line)
        except ValueError as invalid:  # another protocol, or a line without an end
            what = "cannot be parsed" if isinstance(invalid, ValidationError) else "is too long"
            return Lost(f"a line of the hub {what}")
        if isinstance(message, LegEnd):
            return message
        on_ack(message)
        if body.overflowed:
            return Lost("the hub does not read fast enough")


def _refusal(status: int, body: bytes) -> Refused | Lost:
    refusal: Refusal | None = None
    with contextlib.suppress(ValidationError):  # not a Refusal, e.g. the error page of a proxy
        refusal = Refusal.model_validate_json(body)
    if status not in _REASONS:
        return Lost(refusal.reason if refusal else f"the hub answers {status}")
    reason, message = _REASONS[HTTPStatus(status)]
    if refusal:
        reason, message = refusal.reason, refusal.message
    return Refused(reason, message)


def _network_error(error: BaseException) -> str:
    """Return the kind of a network error; its own text may quote the request."""
    cause = getattr(error, "os_error", error)
    text = getattr(cause, "strerror", None)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
