"""Commands for the FFmpeg children (pure).

In: a checked URI. Out: arguments, which every process on the node may read, and a script for
standard input, which may hold secrets. HTTP needs no script: the proxy's address is no secret. For
the other protocols the script is a list for the concat demuxer with one file in it (measured: times
and reordering are the same as without it). Each command leads to an address of this pod or to a
checked literal address.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

import ffmpeg

from sluice_media.net.address_guard import Address
from sluice_media.net.authority import authority
from sluice_media.pull.uri import PullUri

_GLOBAL = ("-hide_banner", "-nostats", "-loglevel", "info", "-max_alloc", str(256 << 20))
_PROBE = {"probesize": 500_000, "analyzeduration": 500_000}
_FORMATS = "hls,mpegts,flv,live_flv,mov,aac,mp3"
"""Formats allowed over HTTP, also for the segments of a playlist. Formats that open other files by
themselves are left out."""
_SRT_CONNECT_MS = 3_000
_WAIT_US = 15_000_000
"""Last-resort timeout. The pull's state machine normally ends a try sooner."""


@dataclass(slots=True, frozen=True)
class Command:
    """The arguments of a child, and its script."""

    argv: tuple[str, ...]
    script: str | None = field(default=None, repr=False)
    """Text for standard input; may hold secrets."""


def http_command(url: str, proxy_url: str, *, encode_audio: bool) -> Command:
    """Return the command that opens ``url`` through the child's proxy."""
    source = ffmpeg.input(
        url,
        http_proxy=proxy_url,
        protocol_whitelist="http,tcp,crypto",
        format_whitelist=_FORMATS,
        rw_timeout=_WAIT_US,
        **_PROBE,
    )
    return Command(_argv(source, encode_audio=encode_audio))


def relay_command(uri: PullUri, port: int, *, encode_audio: bool) -> Command:
    """Return the command that pulls RTMP or RTSP through the relay on this port."""
    here = replace(uri, host="127.0.0.1", port=port, scheme=uri.scheme.removesuffix("s"))
    login = ""
    if uri.user or uri.password:
        login = f"{quote(uri.user, safe='')}:{quote(uri.password, safe='')}@"
    if here.scheme == "rtsp":
        url = f"rtsp://{login}{here.authority}{here.target}"
        options = {"rtsp_transport": "tcp", "allowed_media_types": "video+audio"}
        return _scripted(url, "pipe,tcp", options, encode_audio=encode_audio)
    url = f"rtmp://{login}{here.authority}/"
    return _scripted(url, "pipe,rtmp,tcp", _rtmp_options(uri), encode_audio=encode_audio)


def srt_command(uri: PullUri, address: Address, *, encode_audio: bool) -> Command:
    """Return the command that calls this address over SRT."""
    options = dict(uri.srt)
    if "latency" in options:
        options["latency"] = str(int(options["latency"]) * 1_000)  # FFmpeg uses microseconds
    query = urlencode(
        {**options, "mode": "caller", "connect_timeout": _SRT_CONNECT_MS}, quote_via=quote
    )
    url = f"srt://{authority(str(address), uri.port)}?{query}"
    return _scripted(url, "pipe,srt", {}, encode_audio=encode_audio)


def _rtmp_options(uri: PullUri) -> dict[str, str]:
    """Return FFmpeg's RTMP options.

    The stream name is the last path segment with the query, as encoders split it. The URL of the
    application is set to the source's, because FFmpeg would send the relay's.
    """
    path, mark, query = uri.target.partition("?")
    app, _, name = path.strip("/").rpartition("/")
    if not app:
        app, name = name, ""
    base = replace(uri, target="").url
    return {
        "rtmp_tcurl": f"{base}/{app}",
        "rtmp_app": app,
        "rtmp_playpath": f"{name}{mark}{query}",
        "rtmp_live": "live",
    }


def _scripted(url: str, protocols: str, options: dict[str, str], *, encode_audio: bool) -> Command:
    lines = ["ffconcat version 1.0", f"file {_quoted(url)}"]
    for name, value in {**options, **{k: str(v) for k, v in _PROBE.items()}}.items():
        lines.append(f"option {name} {_quoted(value)}")
    source = ffmpeg.input("pipe:0", format="concat", safe=0, protocol_whitelist=protocols, **_PROBE)
    return Command(_argv(source, encode_audio=encode_audio), "\n".join(lines) + "\n")


def _quoted(value: str) -> str:
    escaped = value.replace("'", "'\\''")
    return f"'{escaped}'"


def _argv(source: Any, *, encode_audio: bool) -> tuple[str, ...]:
    options: dict[str, object] = {
        "format": "mpegts",
        "c": "copy",
        "sn": None,
        "dn": None,
        # Each frame is written at once: the hub chooses its own delays.
        "muxdelay": 0,
        "muxpreload": 0,
        "flush_packets": 1,
        "pes_payload_size": 0,
        "max_interleave_delta": 500_000,
        "map_metadata": -1,
    }
    if encode_audio:
        options |= {"c:a": "aac", "b:a": "128k", "ac": 2, "ar": 48_000}
    output = ffmpeg.output(source["v:0?"], source["a:0?"], "pipe:1", **options)
    name, *arguments = ffmpeg.compile(output)
    return (name, *_GLOBAL, *(str(argument) for argument in arguments))
