"""LiveStream: receive a stream, for Recordings and Restreams."""

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
from sluice_operator.api.v1alpha1.playback import Playback, PlaybackStatus
from sluice_operator.api.v1alpha1.recording import RecordingOptions
from sluice_operator.api.v1alpha1.source import Failover, Push, Source

LISTED_SESSIONS = 50
"""Maximum length of ``status.autoRecorded``. Of older sessions, the status keeps only the latest
start. That is wrong only when more sessions than this start within the difference of two nodes'
clocks. Half of the list is for sessions of nodes whose clock is ahead of the operator's clock."""


class RecordingTemplate(RecordingOptions):
    """Options of the Recordings that autoRecord creates."""


class LiveStreamSpec(ApiModel):
    """Desired state of the stream."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            # A pushed stream has keys and addresses, and a pulled stream has none. A change would
            # take them away, or create them, while publishers use the stream.
            Rule(
                "has(self.source.push) == has(oldSelf.source.push)",
                "a LiveStream that is pushed cannot become one that is pulled, or the reverse; "
                "make a new LiveStream",
                ".source",
            )
        )
    )

    title: Annotated[str, Field(max_length=255)] = ""
    """Title of the stream. The titles of its recordings contain it."""
    active: bool = True
    """false: the stream is switched off. A publisher on air is disconnected, new publishers are
    refused with Disabled, and nothing is pulled."""
    source: Source = Source(push=Push())
    """Source of the media: pushed by encoders, or pulled from URIs. Default: push."""
    failover: Failover = Failover()
    """Change from one publisher to the other when the publisher on air stops sending."""
    resume_window_seconds: Annotated[int, Field(ge=0, le=1_800)] = 10
    """Resume window in seconds, counted from the last media. A publisher that comes back within
    this time continues its session: recordings continue in the same file, and restreams keep their
    connection."""
    auto_record: bool = False
    """true: the operator creates one Recording for each session, which begins at the first keyframe
    of the session. A Recording that was stopped or deleted is not created again."""
    recording_template: RecordingTemplate | None = None
    """Options of the Recordings that autoRecord creates. Absent: all defaults. A change applies to
    the next session."""
    playback: Playback | None = None
    """Playback of the stream by browsers and other players. Absent: the stream cannot be watched,
    and has no play pods. Removing it also deletes the Secret with the signing keys."""
    client_user_id: Annotated[int, Field(ge=0, le=9_007_199_254_740_991)] | None = None
    """Number for your own use, e.g. of a user. Sluice stores it and never uses it."""
    client_entity_data: Annotated[str, Field(max_length=4_096)] | None = None
    """Text for your own use. Sluice stores it and never uses it."""
    workload: Workload | None = None
    """Resources, nodes and priority of the pods of this stream."""
    update_policy: Literal["WhenIdle", "Immediate"] = "WhenIdle"
    """Time at which a changed pod (new version, other resources, another Secret) replaces the
    running pod. WhenIdle: when the stream is off air; until then the condition UpdatePending is
    true. Immediate: at once, which interrupts the stream. Two or more play pods are always replaced
    at once, one after the other, because viewers do not notice it."""


class IngestAddresses(ApiModel):
    """Addresses that publishers connect to, without the keys. The backup uses the same addresses
    with its own key."""

    secret_name: Annotated[str, Field(max_length=253)]
    """Secret with the settings for an encoder: rtmpServer, streamKey, rtmpUrl, rtmpsUrl, srtUrl,
    whipUrl and whipToken, the same settings for the backup, and the keys token and backupToken."""
    rtmp: Annotated[str, Field(max_length=512)] | None = None
    """RTMP address without the key. Absent while the gateway has no address."""
    rtmps: Annotated[str, Field(max_length=512)] | None = None
    """RTMPS address without the key. Absent if the gateway has no certificate."""
    srt: Annotated[str, Field(max_length=512)] | None = None
    """SRT address without the key. The key is part of the stream id in the Secret."""
    whip: Annotated[str, Field(max_length=512)] | None = None
    """WHIP address (WebRTC). The key is sent as its bearer token."""


class MediaFacts(ApiModel):
    """Properties of the media, measured in the bit stream."""

    video_codec: Annotated[str, Field(max_length=32)] | None = None
    """Video codec, e.g. H264. Absent without video."""
    audio_codec: Annotated[str, Field(max_length=32)] | None = None
    """Audio codec, e.g. AAC. Absent without audio."""
    left_out_audio_codec: Annotated[str, Field(max_length=64)] | None = None
    """Codec of an audio track that the source sends and Sluice leaves out, because it does not
    support the codec. Absent without such a track."""
    width: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """Width of the video in pixels."""
    height: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """Height of the video in pixels."""
    frame_rate: Annotated[float, Field(ge=0)] | None = None
    """Video frames per second."""
    bitrate_kbps: Annotated[int, Field(ge=0)] | None = None
    """Bit rate of the whole stream in kbit/s. Updated when it changes by more than a quarter."""


class LastRejection(ApiModel):
    """The last publisher that was refused."""

    reason: Annotated[str, Field(max_length=64)]
    """Reason of the refusal: BadKey, Busy, Disabled, ProtocolNotAllowed or UnsupportedCodec."""
    at: datetime
    """Time of the refusal (UTC)."""


class LastFailover(ApiModel):
    """The last change from one source to another."""

    at: datetime
    """Time of the change (UTC)."""
    from_: Annotated[str, Field(alias="from", max_length=32)]
    """Source before the change: Primary, Backup, or Uri with its index for a pulled stream."""
    to: Annotated[str, Field(max_length=32)]
    """Source after the change."""
    gap_milliseconds: Annotated[int, Field(ge=0)]
    """Time in milliseconds without output."""


class LastFormatChange(ApiModel):
    """The last change of codec, video size or tracks within a session."""

    at: datetime
    """Time of the change (UTC)."""
    before: Annotated[str, Field(max_length=256)]
    """Media before the change, as text."""
    after: Annotated[str, Field(max_length=256)]
    """Media after the change, as text."""


class GivenUp(ApiModel):
    """State of the spec when the stream stopped trying its sources."""

    generation: Annotated[int, Field(ge=0)]
    """Generation of the spec at that time."""
    restart: Annotated[str, Field(max_length=64)] | None = None
    """Digest of the annotation sluice.video/restart at that time. Absent without the annotation."""


class PullProgress(ApiModel):
    """State of the sources of a pulled stream."""

    uri_index: Annotated[int, Field(ge=0)] | None = None
    """Index in spec.source.pull.uris, counted from 0, of the source that sends media now. Absent
    while no source sends media."""
    standby_index: Annotated[int, Field(ge=0)] | None = None
    """Index of the source that stays connected as the standby."""
    message: Annotated[str, Field(max_length=1_024)] | None = None
    """Cause of the last failure of a source, as a sentence."""
    observed_at: datetime | None = None
    """Time of message (UTC). A new message is written at most every 30 seconds."""
    given_up: GivenUp | None = None
    """Present after inactivitySeconds without media from any source. No source is tried until the
    spec or the annotation sluice.video/restart changes. A new ingest pod keeps this state."""


class FailoverCounter(ApiModel):
    """Last value of the failover counter of an ingest pod."""

    pod_uid: Annotated[str, Field(max_length=64)]
    """Uid of the ingest pod that counts."""
    value: Annotated[int, Field(ge=0)]
    """Failovers since this pod started. They are included in failovers."""


class RestreamCount(ApiModel):
    """Number of Restreams of this stream."""

    total: Annotated[int, Field(ge=0)]
    """Number of all Restreams."""
    live: Annotated[int, Field(ge=0)]
    """Number of Restreams that send to their target now."""


class SessionRecord(ApiModel):
    """One session: the time on air, with interruptions within the resume window."""

    started_at: datetime
    """Time of the first media (UTC)."""
    finished_at: datetime | None = None
    """Time of the last media (UTC). Absent while the session continues."""
    protocol: Annotated[str, Field(max_length=16)] | None = None
    """Protocol of the publisher."""
    media: Annotated[str, Field(max_length=256)] | None = None
    """Codecs and video size, as text."""
    failovers: Annotated[int, Field(ge=0)] | None = None
    """Number of failovers in the session. Absent: none."""
    end_reason: Annotated[str, Field(max_length=64)] | None = None
    """Reason of the end, e.g. WindowPassed or Disabled."""


class LiveStreamStatus(ApiModel):
    """Measurements of the ingest pod, and the state of the stream's objects."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """Generation of the spec that this status was computed from. -1: not computed yet."""
    observed_at: datetime | None = None
    """Time at which live, backupLive, activeSource and media were measured, by the clock of the
    ingest pod (UTC). On air it is updated at least once a minute while the pod answers. Off air it
    is the time of the last change."""
    live: bool | None = None
    """true: the primary publisher, or a pulled source, sends media now."""
    backup_live: bool | None = None
    """true: the backup publisher sends media now. Absent if the stream can have no backup."""
    active_source: Annotated[str, Field(max_length=32)] | None = None
    """Source on air: Primary, Backup or Pull. Absent off air."""
    recording: bool | None = None
    """true: a Recording of this stream is being written."""
    recording_duration: Annotated[float, Field(ge=0)] | None = None
    """Seconds of media in the file that the oldest running Recording writes, measured at
    recordingObservedAt."""
    recording_observed_at: datetime | None = None
    """Time at which recordingDuration was measured, by the clock of the recorder (UTC)."""
    recording_name: Annotated[str, Field(max_length=253)] | None = None
    """Name of the oldest running Recording."""
    auto_recorded_until: datetime | None = None
    """Sessions that started up to this time have their Recording from autoRecord (UTC). It is never
    later than the time at which it was written."""
    auto_recorded: (
        Annotated[
            list[datetime],
            Field(
                max_length=LISTED_SESSIONS, json_schema_extra={"x-kubernetes-list-type": "atomic"}
            ),
        ]
        | None
    ) = None
    """Start times of later sessions that have their Recording from autoRecord: the last fifty (UTC,
    by the clock of the node of the session). At most twenty-five of them are later than the
    operator's own time, because the clock of their node is ahead."""
    started_at: datetime | None = None
    """Start of the present or last session (UTC)."""
    started_at_backup: datetime | None = None
    """Time at which the backup publisher last began to send media (UTC)."""
    finished_at: datetime | None = None
    """End of the last finished session: the time of its last media (UTC). It stays when a new
    session starts."""
    failovers: Annotated[int, Field(ge=0)] | None = None
    """Number of failovers since the LiveStream was created."""
    failover_counter: FailoverCounter | None = None
    """Last value of the pod's failover counter. With it, failovers stays correct when the pod is
    replaced."""
    last_failover: LastFailover | None = None
    """The last change from one source to another."""
    last_format_change: LastFormatChange | None = None
    """The last change of codec, video size or tracks within a session."""
    pull: PullProgress | None = None
    """State of the sources of a pulled stream. Absent for a pushed stream."""
    ingest: IngestAddresses | None = None
    """Addresses that publishers connect to. Absent for a pulled stream."""
    media: MediaFacts | None = None
    """Properties of the media on air. Absent off air."""
    last_rejection: LastRejection | None = None
    """The last publisher that was refused, and the reason."""
    playback: PlaybackStatus | None = None
    """Addresses for viewers, and the state of the play pods. Absent without spec.playback."""
    restreams: RestreamCount | None = None
    """Number of Restreams, and how many of them send to their target."""
    sessions: (
        Annotated[
            list[SessionRecord],
            Field(max_length=10, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """The last ten sessions, newest first."""
    conditions: Conditions | None = None
    """Ready: set up as specified; a stream that waits for media is ready. Live: on air, from any
    source. BackupLive: the backup publisher sends media. PlaybackReady: players can play the
    session on air; present only with spec.playback. Recording: being recorded. UpdatePending: a
    changed pod waits until the stream is off air. Reconciling and Stalled are present only while
    true."""


class LiveStream(Resource):
    """A live stream. An encoder publishes it, or Sluice pulls it from a URI. Recordings and
    Restreams read from it."""

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
                "Set up as specified; a stream that waits for media is ready.",
            ),
            Column("Live", "string", '.status.conditions[?(@.type=="Live")].status', "On air."),
            Column("Source", "string", ".status.activeSource", "Source on air."),
            Column("Recording", "boolean", ".status.recording", "Being recorded."),
            Column(
                "Recording_Duration",
                "number",
                ".status.recordingDuration",
                "Seconds of media in the file being written.",
            ),
            Column(
                "Restreams",
                "integer",
                ".status.restreams.live",
                "Number of Restreams that send to their target.",
            ),
            Column("Age", "date", ".metadata.creationTimestamp", "Time since creation."),
            Column(
                "Reason",
                "string",
                '.status.conditions[?(@.type=="Live")].reason',
                "Reason of the condition Live.",
                priority=1,
            ),
            Column(
                "Playback",
                "string",
                '.status.conditions[?(@.type=="PlaybackReady")].status',
                "Players can play the session on air.",
                priority=1,
            ),
        ),
        name_rules=dns_label_rule("LiveStream", 40, letter_first=True),
    )

    spec: LiveStreamSpec
    """Desired state of the stream."""
    status: LiveStreamStatus | None = None
    """Observed state of the stream, written by the operator."""
