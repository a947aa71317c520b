"""One try of a source: an FFmpeg child for one URI, from its start until it has ended.

In: the URI. Out: MPEG-TS in a leg of the sink, and the failure that ended the try.
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
from sluice_media.pull.pacer import Pacer
from sluice_media.pull.program import ProgramProbe, Verdict
from sluice_media.pull.proxy import http_proxy
from sluice_media.pull.relay import tcp_relay
from sluice_media.pull.sink import BadMedia, PullLeg, UnsupportedMedia
from sluice_media.pull.uri import PullUri

_READ_BYTES = 64 << 10
_MAX_PROBE_BYTES = 1 << 20


@dataclass(slots=True)
class _TryFailed(Exception):  # noqa: N818  names the fact
    """The end of a try, with its failure."""

    failure: PullFailure


class _AudioMustBeEncodedError(Exception):
    """The child copies audio that is not AAC. The try needs a child that encodes the audio."""


class SourceTry:
    """One try of one source. :meth:`run` is called once."""

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
        """Prepare a try.

        ``open_leg`` is called when the first media has arrived. ``arrived`` is called with the
        number of bytes each time media is handed on. ``turn``, modulo the number of the host's
        addresses, selects the address that an SRT source is called at.
        """
        self._uri = uri
        self._guard = guard
        self._tls = tls
        self._turn = turn
        self._open_leg = open_leg
        self._arrived = arrived
        self._problem: PullFailure | None = None
        self.encode_audio = encode_audio
        """True when FFmpeg encodes the audio. :meth:`run` sets it when the audio is not AAC."""
        self.leg: PullLeg | None = None
        """The leg of the sink, once media has arrived."""
        self._closed = False

    def close(self, failure: PullFailure) -> None:
        """Close the leg, if there is one. Media that still arrives is dropped."""
        self._closed = True
        if self.leg is not None:
            leg, self.leg = self.leg, None
            leg.close(failure.outcome.value, failure.message)

    async def run(self) -> PullFailure:
        """Pull until the source ends and return why. Cancelling it ends the child."""
        place = self._uri.place
        try:
            try:
                return await self._pull()
            except _AudioMustBeEncodedError:
                self.encode_audio = True
                return await self._pull()
        except _AudioMustBeEncodedError:
            return PullFailure(Outcome.UNSUPPORTED, f"{place} sends audio that cannot be used.")
        except _TryFailed as failed:
            return failed.failure
        except UnsupportedMedia as unsupported:
            return PullFailure(Outcome.UNSUPPORTED, str(unsupported))
        except BadMedia as bad:
            return PullFailure(Outcome.NO_MEDIA, str(bad))
        except NotAllowedError as refused:
            return PullFailure(Outcome.NOT_ALLOWED, str(refused))
        except ChildError:
            return PullFailure(Outcome.FAILED, "FFmpeg cannot be started.")
        except OSError as error:  # name resolution for SRT; relay and proxy report their own
            return from_dial_error(error, place)

    async def _pull(self) -> PullFailure:
        async with self._connection() as (command, hang_up):
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
            return self._failure_of(child)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[Command, Callable[[], None]]]:
        """Run the proxy or relay between child and source.

        Yield the child's command and a function that cuts the child off from the source.
        """
        uri, encode_audio = self._uri, self.encode_audio
        if uri.scheme in ("http", "https"):
            async with http_proxy(uri, self._guard, self._tls, self._note) as proxy:
                yield (
                    http_command(proxy.url, proxy.proxy_url, encode_audio=encode_audio),
                    proxy.hang_up,
                )
        elif uri.scheme == "srt":
            addresses = await self._guard.addresses(uri.host)
            address = addresses[self._turn % len(addresses)]
            # An SRT connection is the child's own: there is nothing to cut.
            yield srt_command(uri, address, encode_audio=encode_audio), lambda: None
        else:
            async with tcp_relay(uri, self._guard, self._tls, self._note) as relay:
                yield relay_command(uri, relay.port, encode_audio=encode_audio), relay.hang_up

    def _note(self, problem: PullFailure) -> None:
        self._problem = problem

    def _failure_of(self, child: Child) -> PullFailure:
        """Return why the child ended. A problem of the proxy or relay comes before FFmpeg's."""
        place = self._uri.place
        if self._problem is not None:
            return self._problem
        if self.leg is not None:
            return PullFailure(Outcome.ENDED, f"{place} ended the stream.")
        reported = from_stderr(child.stderr.lines, place)
        return reported or PullFailure(Outcome.NO_MEDIA, f"{place} ended before it sent media.")

    async def _hand_on(self, child: Child) -> None:
        probe: ProgramProbe | None = ProgramProbe()
        probed_bytes = 0
        pacer = Pacer()
        while data := await child.read(_READ_BYTES):
            pacer.add(data)
            while True:
                part, wait = pacer.take(time.monotonic())
                if part:
                    if probe is not None:
                        probed_bytes += len(part)
                        verdict = probe.feed(part)
                        if verdict is not None or probed_bytes > _MAX_PROBE_BYTES:
                            self._check(verdict)
                            probe = None
                    self._feed(part)
                if not wait:
                    break
                await asyncio.sleep(wait)

    def _check(self, verdict: Verdict | None) -> None:
        if verdict is Verdict.AUDIO_TO_ENCODE:
            raise _AudioMustBeEncodedError
        if verdict is not Verdict.CARRIED:
            raise _TryFailed(
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
