"""LiveStream: take a stream in and publish it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from sluice_operator.api.v1alpha1.common import (
    ApiModel,
    Column,
    CrdNames,
    Resource,
    Rule,
    Workload,
    dns_label_rule,
    rules,
)
from sluice_operator.api.v1alpha1.conditions import Conditions
from sluice_operator.api.v1alpha1.recording import RecordingOptions
from sluice_operator.api.v1alpha1.source import Failover, Push, Source

LISTED_SESSIONS = 50
"""In ``status.autoRecorded``. Of older ones only the latest beginning is known, which is wrong only
when there were so many within the difference of two nodes' clocks. Half of the list is for sessions
of nodes whose clock is ahead of the operator's."""


class RecordingTemplate(RecordingOptions):
    """The Recordings that autoRecord makes."""


class LiveStreamSpec(ApiModel):
    """What the stream shall be."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            # Publishers have keys and addresses, a pulled stream has none: one would have to
            # vanish, or appear, under the hands of whoever uses it.
            Rule(
                "has(self.source.push) == has(oldSelf.source.push)",
                "a LiveStream that is pushed cannot become one that is pulled, nor the other way "
                "round; make a new LiveStream",
                ".source",
            )
        )
    )

    title: Annotated[str, Field(max_length=255)] = ""
    """Title of the stream; it becomes part of the title of its recordings."""
    active: bool = True
    """false: publishers are refused with Disabled, and who is on air is cut; nothing is pulled."""
    source: Source = Source(push=Push())
    """Where the media comes from."""
    failover: Failover = Failover()
    """When a publisher counts as gone, and what happens then."""
    resume_window_seconds: Annotated[int, Field(ge=0, le=1_800)] = 10
    """A publisher that is lost and back within this time continues the same session: recordings
    go on in the same file, restreams keep their connection. Counted from the last media."""
    auto_record: bool = False
    """true: each session is recorded, from its first keyframe, by a Recording of its own that is
    made for it. Stopping or deleting that Recording does not bring it back."""
    recording_template: RecordingTemplate | None = None
    """What these Recordings are like; absent: all defaults. A change counts for the next one."""
    workload: Workload | None = None
    """How and where the pods of this stream run."""
    update_policy: Literal["WhenIdle", "Immediate"] = "WhenIdle"
    """When a changed pod (a new version, other resources, another Secret) replaces the running one:
    WhenIdle waits until the stream is off air (condition UpdatePending says so), Immediate
    interrupts it."""


class IngestAddresses(ApiModel):
    """Where publishers connect to. The keys are in the Secret, never here. The backup has the same
    addresses: its key says which one it is."""

    secret_name: Annotated[str, Field(max_length=253)]
    """Secret with what is pasted into an encoder: rtmpServer, streamKey, rtmpUrl, rtmpsUrl, srtUrl,
    whipUrl and whipToken, and the same for the backup (and the keys token and backupToken)."""
    rtmp: Annotated[str, Field(max_length=512)] | None = None
    """RTMP address without the key; absent while the gateway has no address."""
    rtmps: Annotated[str, Field(max_length=512)] | None = None
    """RTMPS address without the key; absent where the gateway has no certificate."""
    srt: Annotated[str, Field(max_length=512)] | None = None
    """SRT address; the stream id in the Secret has the key too."""
    whip: Annotated[str, Field(max_length=512)] | None = None
    """WHIP address (WebRTC); the key is its bearer token."""


class MediaFacts(ApiModel):
    """The media as measured in the bit stream."""

    video_codec: Annotated[str, Field(max_length=32)] | None = None
    """Codec of the picture, e.g. H264; absent when there is none."""
    audio_codec: Annotated[str, Field(max_length=32)] | None = None
    """Codec of the sound, e.g. AAC; absent when there is none."""
    left_out_audio_codec: Annotated[str, Field(max_length=64)] | None = None
    """Codec of sound that the source sends and that Sluice does not carry; absent when there is
    no such sound."""
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


class LastFailover(ApiModel):
    """The last time that another source went on air."""

    at: datetime
    """When (UTC)."""
    from_: Annotated[str, Field(alias="from", max_length=32)]
    """Which one was on air before: Primary, Backup, or of a pulled stream Uri and its index."""
    to: Annotated[str, Field(max_length=32)]
    """Which one is on air since."""
    gap_milliseconds: Annotated[int, Field(ge=0)]
    """For how long nothing went out."""


class LastFormatChange(ApiModel):
    """The last time that codec, picture size or tracks changed within a session."""

    at: datetime
    """When (UTC)."""
    before: Annotated[str, Field(max_length=256)]
    """The media before, in words."""
    after: Annotated[str, Field(max_length=256)]
    """The media since, in words."""


class GivenUp(ApiModel):
    """What was asked for when the sources were given up."""

    generation: Annotated[int, Field(ge=0)]
    """The version of the spec."""
    restart: Annotated[str, Field(max_length=64)] | None = None
    """Digest of the annotation sluice.video/restart; absent: there was none."""


class PullProgress(ApiModel):
    """How the pulling goes."""

    uri_index: Annotated[int, Field(ge=0)] | None = None
    """Which of spec.source.pull.uris delivers, counted from 0; absent while none does."""
    standby_index: Annotated[int, Field(ge=0)] | None = None
    """Which one is kept connected beside it."""
    message: Annotated[str, Field(max_length=1_024)] | None = None
    """Why the last source that failed did so."""
    observed_at: datetime | None = None
    """When message was noted (UTC); a new one is told at most every 30 seconds."""
    given_up: GivenUp | None = None
    """Set: no source delivered for inactivitySeconds, and none is tried until spec or the
    annotation changes. An ingest pod that is replaced learns of it."""


class FailoverCounter(ApiModel):
    """Where the counting of failovers stands."""

    pod_uid: Annotated[str, Field(max_length=64)]
    """The ingest pod that counts."""
    value: Annotated[int, Field(ge=0)]
    """How many it has counted since it started; all of them are in failovers."""


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
    failovers: Annotated[int, Field(ge=0)] | None = None
    """How often another source went on air; absent: never."""
    end_reason: Annotated[str, Field(max_length=64)] | None = None
    """Why it ended, e.g. WindowPassed or Disabled."""


class LiveStreamStatus(ApiModel):
    """What the ingest pod measures, and what the operator made of the spec."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """The generation of the spec that this status was decided about; -1: not decided yet."""
    observed_at: datetime | None = None
    """When live, backupLive, activeSource and media were measured, by the ingest pod's clock (UTC).
    On air it is renewed at least once a minute while the pod is heard; off air it is the time of
    the last change."""
    live: bool | None = None
    """The primary publisher, or a pulled source, delivers media at this moment."""
    backup_live: bool | None = None
    """The backup publisher delivers media at this moment; absent where there can be none."""
    active_source: Annotated[str, Field(max_length=32)] | None = None
    """Which source is on air: Primary, Backup or Pull; absent when none is."""
    recording: bool | None = None
    """A Recording of this stream is being written."""
    recording_duration: Annotated[float, Field(ge=0)] | None = None
    """Seconds of media in the file that the oldest running Recording writes, at
    recordingObservedAt."""
    recording_observed_at: datetime | None = None
    """When recordingDuration was measured, by the recorder's clock (UTC)."""
    recording_name: Annotated[str, Field(max_length=253)] | None = None
    """The oldest running Recording."""
    auto_recorded_until: datetime | None = None
    """Sessions that began up to this moment got the Recording that autoRecord makes (UTC). It is
    never later than the time at which it is written."""
    auto_recorded: (
        Annotated[
            list[datetime],
            Field(
                max_length=LISTED_SESSIONS, json_schema_extra={"x-kubernetes-list-type": "atomic"}
            ),
        ]
        | None
    ) = None
    """Later sessions that got it, each by the moment at which it began (UTC, by the clock of the
    node that it began on); the last fifty. Of those that began in the future, by the clock of a
    node that is ahead, the last twenty-five."""
    started_at: datetime | None = None
    """When the present or last session began (UTC)."""
    started_at_backup: datetime | None = None
    """When the backup publisher began to deliver, the last time that it did (UTC)."""
    finished_at: datetime | None = None
    """When the last finished session ended: its last media (UTC). Kept when a new one begins."""
    failovers: Annotated[int, Field(ge=0)] | None = None
    """How often another source went on air, since the LiveStream was made."""
    failover_counter: FailoverCounter | None = None
    """Where the counting of failovers stands, so that it goes on when the pod is replaced."""
    last_failover: LastFailover | None = None
    """The last time that another source went on air."""
    last_format_change: LastFormatChange | None = None
    """The last time that codec, picture size or tracks changed within a session."""
    pull: PullProgress | None = None
    """How the pulling goes; absent for a stream that is pushed."""
    ingest: IngestAddresses | None = None
    """Where publishers connect to; absent for a stream that is pulled."""
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
    """Ready: set up as asked for. Live: on air, whatever feeds it. BackupLive: the backup publisher
    delivers. Recording: being recorded. UpdatePending: a new version of the pods waits until the
    stream is off air. Reconciling, Stalled: only while true."""


class LiveStream(Resource):
    """A live stream: an encoder publishes it here, or it is pulled from elsewhere; recordings and
    restreams take it from here."""

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
                "Set up as asked for; waiting for media counts as ready.",
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
