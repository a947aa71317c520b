"""Reader of the stream that a Restream pushes, and the state of its source.

The configured stream comes in. Units go to the feeder; formats and changes of the source go to the
callbacks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import aiohttp
from pydantic import SecretStr

from sluice_media.contract import StreamRef, TimelineFormat
from sluice_media.formats.units import AccessUnit
from sluice_media.push.feeder import Feeder
from sluice_media.push.machine import SourceChanged
from sluice_media.push.source import SourceTracker
from sluice_media.timeline.reader import TimelineReader

_GATHER_SECONDS = 0.15
"""Length of the batches in which media is taken from the hub. Waking for each unit would be most of
the cost of a push, and the delay of a platform is thirty times as long."""


class StreamFollower:
    """Task that reads one stream's timeline, and the tracker of its source.

    ``reader`` is the name of the pusher at the hub. ``token`` is called at each connect.
    """

    def __init__(
        self,
        feeder: Feeder,
        tasks: asyncio.TaskGroup,
        http: aiohttp.ClientSession,
        *,
        hub_port: int,
        reader: str,
        token: Callable[[], SecretStr | None],
        on_formats: Callable[[TimelineFormat], None],
        on_change: Callable[[SourceChanged], None],
        on_media: Callable[[], None],
        on_deadline: Callable[[], None],
    ) -> None:
        self._feeder = feeder
        self._tasks = tasks
        self._http = http
        self._hub_port = hub_port
        self._reader = reader
        self._token = token
        self._on_formats = on_formats
        self._on_change = on_change
        self._on_media = on_media
        self._on_deadline = on_deadline
        self._source = SourceTracker()
        self._known_deadline: float | None = None
        self._stream: StreamRef | None = None
        self._reading: asyncio.Task[None] | None = None

    def follow(self, stream: StreamRef | None) -> None:
        """Read ``stream`` from now on; None to read no stream."""
        if stream is not None:
            self._source.resume_window_seconds = stream.resume_window_seconds
        if _address(stream) == _address(self._stream):
            return
        self.stop()
        self._stream = stream
        if stream is not None:
            self._reading = self._tasks.create_task(self._read(stream))

    def stop(self) -> None:
        """End reading; the session is then over."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        self._report(self._source.stop())

    def deadline(self) -> float | None:
        """Return the monotonic time at which :meth:`tick` is due; None when it is not needed."""
        return self._source.deadline()

    def tick(self) -> None:
        """Report the changes that are due now."""
        self._report(self._source.tick(time.monotonic()))

    async def _read(self, stream: StreamRef) -> None:
        reader = TimelineReader(
            self._http,
            url=lambda: f"http://{stream.host}:{self._hub_port}",
            token=self._token,
            reader=self._reader,
            role="pusher",
            gather_seconds=_GATHER_SECONDS,
        )
        async for batch in reader.batches():
            for record in batch:
                if isinstance(record, AccessUnit):
                    self._feeder.add(record)
                    continue
                if isinstance(record, TimelineFormat):
                    # The machine must know the codecs before the session begins: it does not dial
                    # a target that cannot carry them.
                    self._on_formats(record)
                self._report(self._source.record(record, time.monotonic()))
            self._on_media()

    def _report(self, changes: Sequence[SourceChanged]) -> None:
        for change in changes:
            self._on_change(change)
            if not change.session:
                # At hang_up() the connection took the rest of the session out of the feeder.
                self._feeder.clear()
        if self._source.deadline() != self._known_deadline:
            self._known_deadline = self._source.deadline()
            self._on_deadline()


def _address(stream: StreamRef | None) -> tuple[str, str] | None:
    """Return the fields of a stream whose change needs another reader."""
    return (stream.uid, stream.host) if stream is not None else None
