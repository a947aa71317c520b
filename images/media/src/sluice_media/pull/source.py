"""One try: an FFmpeg child for one URI, from its start until it is gone.

In: the URI. Out: MPEG-TS in a leg of the sink, what happened in words, and the outcome.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sluice_media.ffmpeg.process import Child, ChildError, start_child
from sluice_media.net.address_guard import DialGuard, NotAllowedError
from sluice_media.pull.command import Command, http_command, relay_command, srt_command
from sluice_media.pull.failures import (
    Outcome,
    PullFailure,
    from_dial_error,
    from_stderr,
)
from sluice_media.pull.gateway import http_gateway
from sluice_media.pull.pacer import Pacer
from sluice_media.pull.program import ProgramLook, Verdict
from sluice_media.pull.relay import tcp_relay
from sluice_media.pull.sink import BadMedia, PullLeg, UnsupportedMedia
from sluice_media.pull.uri import PullUri

_READ_BYTES = 64 << 10
_MAX_LOOK_BYTES = 1 << 20


@dataclass(slots=True)
class _Ended(Exception):  # noqa: N818  it carries how a child ended, which need not be an error
    failure: PullFailure


class _AudioMustBeEncodedError(Exception):
    """The child copies audio that is not AAC."""


class SourceTry:
    """Made for one try; :meth:`run` is it."""

    def __init__(
        self,
        uri: PullUri,
        guard: DialGuard,
        tls: ssl.SSLContext,
        *,
        open_leg: Callable[[], PullLeg],
        arrived: Callable[[int], None],
        encode_audio: bool = False,
        turn: int = 0,
    ) -> None:
        """``open_leg`` is called when the first media is there, ``arrived`` with the number of
        bytes whenever some were handed on. ``turn`` is the number of the address that an SRT
        source is called at, counted round its host's addresses."""
        self._uri = uri
        self._guard = guard
        self._tls = tls
        self._turn = turn
        self._open_leg = open_leg
        self._arrived = arrived
        self._problem: PullFailure | None = None
        self.encode_audio = encode_audio
        """Learnt by the way: this source's audio is not AAC."""
        self.leg: PullLeg | None = None
        self._closed = False

    def close(self, failure: PullFailure) -> None:
        """Closes the leg, if there is one: nothing more comes."""
        self._closed = True
        if self.leg is not None:
            leg, self.leg = self.leg, None
            leg.close(failure.outcome.value, failure.message)

    async def run(self) -> PullFailure:
        """Pulls until the source ends; returns why. When it is cancelled, the child is ended."""
        place = self._uri.place
        try:
            try:
                return await self._pull()
            except _AudioMustBeEncodedError:
                self.encode_audio = True
                return await self._pull()
        except _AudioMustBeEncodedError:
            return PullFailure(Outcome.UNSUPPORTED, f"{place} sends audio that cannot be used.")
        except _Ended as ended:
            return ended.failure
        except UnsupportedMedia as unsupported:
            return PullFailure(Outcome.UNSUPPORTED, str(unsupported))
        except BadMedia as bad:
            return PullFailure(Outcome.NO_MEDIA, str(bad))
        except NotAllowedError as refused:
            return PullFailure(Outcome.NOT_ALLOWED, str(refused))
        except ChildError:
            return PullFailure(Outcome.FAILED, "FFmpeg cannot be started.")
        except OSError as error:  # of the look-up for SRT; everything else has its own words
            return from_dial_error(error, place)

    async def _pull(self) -> PullFailure:
        async with self._way() as (command, hang_up):
            async with start_child(
                command.argv, stdin=command.script is not None, stdout=True, env={}
            ) as child:
                if command.script is not None:
                    await child.feed(command.script.encode())
                    await child.close_stdin()
                try:
                    await self._hand_on(child)
                finally:
                    hang_up()
                await child.wait()
            return self._why(child)

    @asynccontextmanager
    async def _way(self) -> AsyncIterator[tuple[Command, Callable[[], None]]]:
        """Everything between the child and the source: what to tell the child, and how to cut
        it off."""
        uri, encode_audio = self._uri, self.encode_audio
        if uri.scheme in ("http", "https"):
            async with http_gateway(uri, self._guard, self._tls, self._note) as gateway:
                yield (
                    http_command(gateway.url, gateway.proxy, encode_audio=encode_audio),
                    gateway.hang_up,
                )
        elif uri.scheme == "srt":
            addresses = await self._guard.addresses(uri.host)
            address = addresses[self._turn % len(addresses)]
            yield srt_command(uri, address, encode_audio=encode_audio), _nothing
        else:
            async with tcp_relay(uri, self._guard, self._tls, self._note) as relay:
                yield relay_command(uri, relay.port, encode_audio=encode_audio), relay.hang_up

    def _note(self, problem: PullFailure) -> None:
        self._problem = problem

    def _why(self, child: Child) -> PullFailure:
        """Ours first: what FFmpeg says follows from it."""
        place = self._uri.place
        if self._problem is not None:
            return self._problem
        if self.leg is not None:
            return PullFailure(Outcome.ENDED, f"{place} ended the stream.")
        said = from_stderr(child.stderr.lines, place)
        return said or PullFailure(Outcome.NO_MEDIA, f"{place} ended before it sent media.")

    async def _hand_on(self, child: Child) -> None:
        look: ProgramLook | None = ProgramLook()
        looked = 0
        pacer = Pacer()
        while data := await child.read(_READ_BYTES):
            pacer.add(data)
            while True:
                part, wait = pacer.take(time.monotonic())
                if part:
                    if look is not None:
                        looked += len(part)
                        verdict = look.feed(part)
                        if verdict is not None or looked > _MAX_LOOK_BYTES:
                            self._judge(verdict)
                            look = None
                    self._feed(part)
                if not wait:
                    break
                await asyncio.sleep(wait)

    def _judge(self, verdict: Verdict | None) -> None:
        if verdict is Verdict.AUDIO_TO_ENCODE:
            raise _AudioMustBeEncodedError
        if verdict is not Verdict.CARRIED:
            raise _Ended(
                PullFailure(
                    Outcome.UNSUPPORTED,
                    f"{self._uri.place} sends video that is neither H.264 nor HEVC.",
                )
            )

    def _feed(self, part: bytes) -> None:
        if self._closed:
            return
        if self.leg is None:
            self.leg = self._open_leg()
        self.leg.feed(part)
        self._arrived(len(part))


def _nothing() -> None:
    """An SRT connection is the child's own."""
