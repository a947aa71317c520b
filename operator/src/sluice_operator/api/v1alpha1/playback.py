"""Playback of a LiveStream: its options, and the part of the status about it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from sluice_operator.api.v1alpha1.common import (
    ApiModel,
    ContainerResources,
    Rule,
    Workload,
    rules,
)

_ANY_FORMAT = "self.hls.enabled || self.dash.enabled || self.hlsMpegts.enabled"


class Format(ApiModel):
    """A format that players can play, on by default."""

    enabled: bool = True
    """true: the format is served."""
    end_list: bool = True
    """true: when the session ends, the playlist (DASH: the manifest) declares its end, so that
    players stop. false: it stays as it is. For the next session, a player loads the first address
    again."""


class TsFormat(ApiModel):
    """HLS with MPEG-TS segments, for older players."""

    enabled: bool = False
    """true: the format is served. Its segments cost CPU only while they are requested."""
    end_list: bool = False
    """true: when the session ends, the playlist declares its end, so that players stop. false: it
    stays as it is. For the next session, a player loads the first address again."""


class Screenshot(ApiModel):
    """A JPEG picture of the stream, made from its newest keyframe."""

    interval_seconds: Annotated[int, Field(ge=2, le=3_600)] = 10
    """Time in seconds between two pictures."""
    keep_last: bool = False
    """true: off air, the last picture of the session stays available. false: off air there is no
    picture."""


class PlayWorkload(Workload):
    """Resources, nodes and priority of the play pods."""

    resources: ContainerResources | None = None
    """CPU and memory of a play pod. Absent: the default of the installation. The request for
    ephemeral-storage follows from dvrSeconds for a stream of 8 Mbit/s, unless it is set here. A
    window that needs more disk space loses its oldest segments."""
    node_selector: (
        Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)] | None
    ) = None
    """Labels that a node must have to run the play pods. Absent: spec.workload.nodeSelector."""


class Playback(ApiModel):
    """Playback of the stream by browsers and other players."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                _ANY_FORMAT,
                "at least one of hls, dash and hlsMpegts must be enabled; to switch playback off, "
                "remove playback",
            )
        )
    )

    replicas: Annotated[int, Field(ge=1, le=3)] = 1
    """Number of play pods. With 2 or more, viewers do not notice the loss or the update of one."""
    segment_seconds: Annotated[int, Field(ge=1, le=6)] = 2
    """Wanted duration of a segment in seconds. A segment begins at a keyframe, so it is longer if
    keyframes are further apart. A change applies to the next session."""
    dvr_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=14_400,
            json_schema_extra=rules(
                Rule("self == 0 || self >= 30", "dvrSeconds must be 0 or at least 30")
            ),
        ),
    ] = 0
    """Time in seconds that viewers can rewind: 30 to 14400. 0: only the last half minute is kept. A
    change applies to the next session."""
    hls: Format = Format()
    """Low-latency HLS with fMP4 segments."""
    dash: Format = Format()
    """Low-latency DASH. It has the same segments as HLS."""
    hls_mpegts: TsFormat = TsFormat()
    """HLS with MPEG-TS segments, for older players."""
    access: Literal["Public", "Signed"] = "Public"
    """Public: everybody who knows the address can watch. Signed: viewers need a URL with an expiry
    time and a signature, made with the key in the Secret <name>-playback."""
    screenshot: Screenshot = Screenshot()
    """Picture of the stream, renewed while the stream is on air."""
    projection: Literal["Regular", "VR360", "VR180", "VR360TB"] = "Regular"
    """Projection of the video in the player page. Regular: flat. VR360: 360 degrees,
    equirectangular. VR180: the front half of it. VR360TB: 360 degrees, stereoscopic, the left eye
    above the right eye."""
    workload: PlayWorkload | None = None
    """Resources, nodes and priority of the play pods. A field that is absent here has the value of
    spec.workload, except resources."""


# --------------------------------------------------------------------------- status

_Url = Annotated[str, Field(max_length=1_024)]


class ReplicaCount(ApiModel):
    """Number of play pods."""

    wanted: Annotated[int, Field(ge=0)]
    """Number of play pods that shall run."""
    ready: Annotated[int, Field(ge=0)]
    """Number of play pods that are ready to serve viewers."""


class PlaybackStatus(ApiModel):
    """Addresses for viewers, and the state of the play pods."""

    base_url: _Url | None = None
    """Address of the edge, without the path of the stream. With access Signed a viewer's URL is
    <baseUrl>/~<expiry>~<signature>/<namespace>/<name>/, and `kubectl sluice play-url` prints it.
    Absent while the edge has no address."""
    player: _Url | None = None
    """Page with a player, which can be embedded. This and the following URLs are absent with
    access Signed, because they are refused without a signature."""
    hls: _Url | None = None
    """Low-latency HLS: the multivariant playlist. Off air it is answered with 404."""
    dash: _Url | None = None
    """Low-latency DASH: the manifest. Off air it is answered with 404."""
    hls_mpegts: _Url | None = None
    """HLS with MPEG-TS: the multivariant playlist. Off air it is answered with 404."""
    screenshot: _Url | None = None
    """Newest picture of the stream, JPEG."""
    replicas: ReplicaCount | None = None
    """Number of play pods."""
    window_seconds: Annotated[float, Field(ge=0)] | None = None
    """Seconds of media that viewers can reach, from the oldest to the newest segment. Absent off
    air. Updated when it changes by ten seconds or a quarter."""
