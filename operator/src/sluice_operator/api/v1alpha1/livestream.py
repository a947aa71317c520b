"""LiveStream: take a stream in and publish it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sluice_operator.api.v1alpha1.common import (
    ApiModel,
    Column,
    CrdNames,
    Resource,
    Workload,
    dns_label_rule,
)
from sluice_operator.api.v1alpha1.conditions import Conditions

__all__ = ["LiveStream", "LiveStreamSpec", "LiveStreamStatus"]


class Push(ApiModel):
    """An encoder publishes to this cluster's gateway."""

    protocols: Annotated[
        list[Literal["RTMP"]],
        Field(min_length=1, max_length=4, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default=["RTMP"])
    """Protocols that publishers may use; others are refused with ProtocolNotAllowed."""


class Source(ApiModel):
    """Where the media comes from."""

    push: Push
    """An encoder publishes with the key in the Secret that status.ingest.secretName names."""


class Failover(ApiModel):
    """When a publisher counts as gone."""

    stall_milliseconds: Annotated[int, Field(ge=200, le=30_000)] = 800
    """A publisher that sent nothing for so long may be replaced by another one with the same key:
    this is how an encoder gets back in after its cable was pulled."""


class LiveStreamSpec(ApiModel):
    """What the stream shall be."""

    title: Annotated[str, Field(max_length=255)] = ""
    """Title of the stream; it becomes part of the title of its recordings."""
    active: bool = True
    """false: publishers are refused with Disabled, and the one on air is cut."""
    source: Source = Source(push=Push())
    """Where the media comes from."""
    failover: Failover = Failover()
    """When a publisher counts as gone."""
    resume_window_seconds: Annotated[int, Field(ge=0, le=1_800)] = 10
    """A publisher that is lost and back within this time continues the same session: recordings
    go on in the same file, restreams keep their connection. Counted from the last media."""
    workload: Workload | None = None
    """How and where the pods of this stream run."""
    update_policy: Literal["WhenIdle", "Immediate"] = "WhenIdle"
    """When a new version of the pods is rolled out: WhenIdle waits until the stream is off air
    (condition UpdatePending says so), Immediate interrupts it."""


class IngestAddresses(ApiModel):
    """Where publishers connect to. The key is in the Secret, never here."""

    secret_name: Annotated[str, Field(max_length=253)]
    """Secret with what is pasted into an encoder: rtmpServer, streamKey, rtmpUrl (and token)."""
    rtmp: Annotated[str, Field(max_length=512)] | None = None
    """RTMP address without the key; absent while the gateway has no address."""


class MediaFacts(ApiModel):
    """The media as measured in the bit stream."""

    video_codec: Annotated[str, Field(max_length=32)] | None = None
    """Codec of the picture, e.g. H264; absent when there is none."""
    audio_codec: Annotated[str, Field(max_length=32)] | None = None
    """Codec of the sound, e.g. AAC; absent when there is none."""
    width: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """Width of the picture in pixels."""
    height: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """Height of the picture in pixels."""
    frame_rate: Annotated[float, Field(ge=0)] | None = None
    """Pictures per second."""
    bitrate_kbps: Annotated[int, Field(ge=0)] | None = None
    """Bit rate of the whole stream in kbit/s; follows changes of more than a quarter."""


class LastRejection(ApiModel):
    """The last publisher that was refused."""

    reason: Annotated[str, Field(max_length=64)]
    """BadKey, Busy, Disabled, ProtocolNotAllowed or UnsupportedCodec."""
    at: datetime
    """When it was refused (UTC)."""


class RestreamCount(ApiModel):
    """The Restreams of this stream."""

    total: Annotated[int, Field(ge=0)]
    """How many there are."""
    live: Annotated[int, Field(ge=0)]
    """How many of them deliver to their target now."""


class SessionRecord(ApiModel):
    """One time on air, interruptions within the resume window included."""

    started_at: datetime
    """First media (UTC)."""
    finished_at: datetime | None = None
    """Last media (UTC); absent while the session is on."""
    protocol: Annotated[str, Field(max_length=16)] | None = None
    """How the publisher came in."""
    media: Annotated[str, Field(max_length=256)] | None = None
    """Codecs and size, in words."""
    end_reason: Annotated[str, Field(max_length=64)] | None = None
    """Why it ended, e.g. WindowPassed or Disabled."""


class LiveStreamStatus(ApiModel):
    """What the ingest pod measures, and what the operator made of the spec."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this status was decided about."""
    live: bool | None = None
    """The publisher delivers media at this moment."""
    active_source: Literal["Primary"] | None = None
    """Which source is on air; absent when none is."""
    recording: bool | None = None
    """A Recording of this stream is being written."""
    recording_duration: Annotated[float, Field(ge=0)] | None = None
    """Seconds of media in the file that the oldest running Recording writes, at observedAt."""
    observed_at: datetime | None = None
    """When recordingDuration was measured (UTC)."""
    recording_name: Annotated[str, Field(max_length=253)] | None = None
    """The oldest running Recording."""
    started_at: datetime | None = None
    """When the present or last session began (UTC)."""
    finished_at: datetime | None = None
    """When the last finished session ended: its last media (UTC). Kept when a new one begins."""
    ingest: IngestAddresses | None = None
    """Where publishers connect to."""
    media: MediaFacts | None = None
    """The media on air; absent off air."""
    last_rejection: LastRejection | None = None
    """The last publisher that was refused, and why."""
    restreams: RestreamCount | None = None
    """How many Restreams there are, and how many deliver."""
    sessions: (
        Annotated[
            list[SessionRecord],
            Field(max_length=10, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """The last ten times on air, newest first."""
    conditions: Conditions | None = None
    """Ready: set up as asked for. Live: on air. Recording: being recorded. UpdatePending: a new
    version of the pods waits until the stream is off air. Reconciling, Stalled: only while true."""


class LiveStream(Resource):
    """A live stream: an encoder publishes it here; recordings and restreams take it from here."""

    crd: ClassVar[CrdNames] = CrdNames(
        kind="LiveStream",
        plural="livestreams",
        singular="livestream",
        short_name="lvs",
        columns=(
            Column(
                "Ready",
                "string",
                '.status.conditions[?(@.type=="Ready")].status',
                "Set up as asked for; waiting for a publisher counts as ready.",
            ),
            Column("Live", "string", '.status.conditions[?(@.type=="Live")].status', "On air."),
            Column("Source", "string", ".status.activeSource", "Which source is on air."),
            Column("Recording", "boolean", ".status.recording", "Being recorded."),
            Column(
                "Recording_Duration",
                "number",
                ".status.recordingDuration",
                "Seconds in the file being written.",
            ),
            Column("Restreams", "integer", ".status.restreams.live", "Restreams that deliver."),
            Column("Age", "date", ".metadata.creationTimestamp", "Time since creation."),
            Column(
                "Reason",
                "string",
                '.status.conditions[?(@.type=="Live")].reason',
                "Why it is on air or not.",
                priority=1,
            ),
        ),
        name_rules=dns_label_rule("LiveStream", 40, letter_first=True),
    )

    spec: LiveStreamSpec
    """What the stream shall be."""
    status: LiveStreamStatus | None = None
    """What is measured; written by the operator."""
