"""SRT on Debian's libsrt: a listener for publishers and a caller to push with.

:func:`running_srt_listener` takes all publishers in on one UDP port. :func:`connect` calls a
server. Both use :mod:`.library`, the binding of libsrt. :func:`parse_stream_id` is pure.
"""

from sluice_media.protocols.srt.admission import Admit, Refuse, Verdict
from sluice_media.protocols.srt.caller import SrtCaller, SrtTarget, connect, dial
from sluice_media.protocols.srt.connection import SrtConnection
from sluice_media.protocols.srt.errors import (
    ConnectionLost,
    ConnectRefused,
    ConnectTimeout,
    LibraryMissing,
    SrtError,
    SrtUrlError,
    StreamIdError,
)
from sluice_media.protocols.srt.listener import SrtListener, running_srt_listener
from sluice_media.protocols.srt.pacing import MediaPacer
from sluice_media.protocols.srt.reject import RejectCode, describe_rejection
from sluice_media.protocols.srt.settings import SrtListenerSettings
from sluice_media.protocols.srt.stats import SrtStats
from sluice_media.protocols.srt.streamid import PublishRequest, parse_stream_id
from sluice_media.protocols.srt.url import SrtUrl, parse_srt_url

__all__ = [
    "Admit",
    "ConnectRefused",
    "ConnectTimeout",
    "ConnectionLost",
    "LibraryMissing",
    "MediaPacer",
    "PublishRequest",
    "Refuse",
    "RejectCode",
    "SrtCaller",
    "SrtConnection",
    "SrtError",
    "SrtListener",
    "SrtListenerSettings",
    "SrtStats",
    "SrtTarget",
    "SrtUrl",
    "SrtUrlError",
    "StreamIdError",
    "Verdict",
    "connect",
    "describe_rejection",
    "dial",
    "parse_srt_url",
    "parse_stream_id",
    "running_srt_listener",
]
