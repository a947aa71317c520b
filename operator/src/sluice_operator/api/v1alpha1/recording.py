"""Recording: record a LiveStream into files."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from sluice_operator.api.v1alpha1.common import (
    ApiModel,
    Column,
    CrdNames,
    LocalRef,
    Resource,
    dns_label_rule,
    frozen,
    list_map,
    rules,
)
from sluice_operator.api.v1alpha1.conditions import Conditions

DEFAULT_STORE = "default"
"""Name of the MediaStore that an absent storeRef means."""

_NEW = "make a new Recording"
_TEN_YEARS = 315_360_000


class Retention(ApiModel):
    """Time for which files are kept. It is counted for each file, from the end of the file."""

    seconds: Annotated[int, Field(ge=1, le=_TEN_YEARS)] | None = None
    """Retention of an MP4 in seconds. Absent: it is kept for ever."""
    keep_original: bool = False
    """true: the original chunks are kept beside the MP4, as a playable HLS playlist (originUri)."""
    original_seconds: Annotated[int, Field(ge=1, le=_TEN_YEARS)] = 604_800
    """Retention of the original chunks in seconds, with keepOriginal. The default is 7 days."""


class RecordingOptions(ApiModel):
    """Options of recording and retention, in a Recording and in the recordingTemplate of a
    LiveStream."""

    store_ref: LocalRef | None = None
    """The MediaStore that keeps the files. Absent: the MediaStore named default."""
    record_type: Literal["Origin"] = "Origin"
    """Origin: the media that the publisher sent, unchanged."""
    split_seconds: Annotated[int, Field(ge=10, le=604_800)] = 14_400
    """Maximum length of a file in seconds. A file of this length ends at the next keyframe, and the
    next file begins with that keyframe. Nothing is lost or repeated between them. In a bucket, a
    file also ends at 128 GiB."""
    max_duration_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """Maximum media in all files together, in seconds. The Recording then ends
    (MaxDurationReached). Absent: no limit."""
    retention: Retention = Retention()
    """Time for which files are kept. It can be changed at any time."""
    deletion_policy: Literal["Retain", "Delete"] = "Retain"
    """Effect of deleting the Recording. Retain: its files stay in the store. Delete: its files are
    deleted first, and the Recording disappears after them."""


class RecordingSpec(RecordingOptions):
    """Desired recording. Only desiredState and retention can be changed later."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            frozen("streamRef", "Recording", _NEW),
            frozen("storeRef", "Recording", _NEW),
            frozen("rearmSeconds", "Recording", _NEW),
            frozen("minimumSeconds", "Recording", _NEW),
            frozen("recordType", "Recording", _NEW),
            frozen("splitSeconds", "Recording", _NEW),
            frozen("maxDurationSeconds", "Recording", _NEW),
            frozen("startWhenLive", "Recording", _NEW),
            frozen("deletionPolicy", "Recording", _NEW),
        )
    )

    stream_ref: LocalRef
    """The LiveStream to record. If it is off air or does not exist yet, the Recording waits for
    it."""
    desired_state: Literal["Recording", "Stopped"] = "Recording"
    """Stopped ends the recording for good. Changing it back later has no effect."""
    start_when_live: bool = True
    """true: the Recording waits until the stream is on air. false: the Recording fails
    (StreamNotLive) if the stream is off air when the Recording is created."""
    rearm_seconds: Annotated[int, Field(ge=0, le=604_800)] = 3_600
    """Time in seconds to wait for the stream after it went off air. If it returns in this time, the
    recording continues in a new file. If not, the Recording ends."""
    minimum_seconds: Annotated[int, Field(ge=0, le=3_600)] = 10
    """Minimum media in seconds. If desiredState stops a Recording with less media in all files, no
    file is kept (TooShort)."""


class FileGap(ApiModel):
    """Missing media in a file."""

    at_seconds: Annotated[float, Field(ge=0)]
    """Position of the gap in the MP4, in seconds. The MP4 plays on there without a pause."""
    wall_seconds: Annotated[float, Field(ge=0)]
    """Length of the missing media in seconds."""


class RecordingFile(ApiModel):
    """One file of a Recording."""

    index: Annotated[int, Field(ge=0)]
    """Number of the file in this Recording, counted from 1."""
    name: Annotated[str, Field(max_length=253)]
    """File name, built from ids."""
    title: Annotated[str, Field(max_length=512)] | None = None
    """Title for people: Stream Record: {title of the stream}, {end time UTC}."""
    state: Annotated[str, Field(max_length=32)]
    """State of the file. Recording and Interrupted: it is being written. Finalizing: the MP4 is
    being made. Ready: the MP4 is complete. Expired: it was deleted after retention.seconds.
    Failed: the MP4 could not be made, see message. Discarded: it was too short and was not
    kept."""
    started_at: datetime
    """Time of the first frame (UTC)."""
    ended_at: datetime | None = None
    """Time of the last frame (UTC)."""
    duration_seconds: Annotated[float, Field(ge=0)] | None = None
    """Media in the file, in seconds."""
    size_bytes: Annotated[int, Field(ge=0)] | None = None
    """Size of the MP4 in bytes."""
    sha256: Annotated[str, Field(max_length=64)] | None = None
    """SHA-256 of the MP4, in hex."""
    uri: Annotated[str, Field(max_length=2_048)] | None = None
    """URI of the MP4."""
    origin_uri: Annotated[str, Field(max_length=2_048)] | None = None
    """URI of the HLS playlist of the original chunks. Present until the MP4 is complete, and after
    that only with retention.keepOriginal."""
    expires_at: datetime | None = None
    """Time at which retention deletes the MP4 (UTC). Absent: never."""
    gaps: (
        Annotated[
            list[FileGap],
            Field(max_length=100, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """Gaps in the media of the file: the first hundred."""
    end_reason: Annotated[str, Field(max_length=64)] | None = None
    """Reason for closing the file: SessionEnded, ParametersChanged, TimelineLost, Split, Stopped,
    MaxDurationReached or StorageLimit."""
    message: Annotated[str, Field(max_length=1_024)] | None = None
    """Cause of a failure, or a description of lost media, as a sentence."""


class StorageUse(ApiModel):
    """Fill level of the store."""

    used_bytes: Annotated[int, Field(ge=0)] | None = None
    """Size of all recordings in the store, in bytes."""
    limit_bytes: Annotated[int, Field(ge=0)] | None = None
    """Maximum size in bytes: the limit of the store, or the size of its volume."""


class StorageDamage(ApiModel):
    """Parts of the recording that the store cannot read, or that are in no MP4."""

    journal_segments: Annotated[int, Field(ge=0)] | None = None
    """Number of missing or damaged segments in the recorders' journals."""
    lost_chunks: Annotated[int, Field(ge=0)] | None = None
    """Number of missing or damaged chunks. The gaps of the files show their positions."""
    kept_chunks: Annotated[int, Field(ge=0)] | None = None
    """Number of chunks that are in no MP4. The store keeps them until keptUntil."""
    kept_until: datetime | None = None
    """Time at which the store deletes the chunks that are in no MP4 (UTC)."""


class RecordingStatus(ApiModel):
    """Measurements of the recorder and the store."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """Generation of the spec that this status was computed from. -1: not computed yet."""
    recording: bool | None = None
    """true: a file is open. A file stays open during an interruption within the resume window."""
    recording_duration: Annotated[float, Field(ge=0)] | None = None
    """Seconds of media in all files, at observedAt."""
    observed_at: datetime | None = None
    """Time at which recordingDuration was measured (UTC)."""
    recording_started_at: datetime | None = None
    """Time of the first frame of the first file (UTC)."""
    phase: Annotated[str, Field(max_length=32)] | None = None
    """Pending, Recording, Interrupted, Finalizing, Completed, Failed or Discarded. The phase is for
    people; programs read the conditions."""
    end_reason: Annotated[str, Field(max_length=64)] | None = None
    """Reason of the end: Stopped, StreamEnded, MaxDurationReached, StorageLimit, TooShort,
    RecorderLost, StreamNotLive, NoSpace or Restored. Absent before the end."""
    restored_uid: Annotated[str, Field(max_length=64)] | None = None
    """Uid of an earlier Recording of this name, which had ended. This object was created again, for
    example from Git or a backup, and shows the files of that Recording."""
    session_started_at: datetime | None = None
    """Start of the recorded session (UTC). Only in a Recording that autoRecord created."""
    stream_uid: Annotated[str, Field(max_length=64)] | None = None
    """Uid of the recorded LiveStream. The Recording stays when the LiveStream is deleted."""
    store_name: Annotated[str, Field(max_length=253)] | None = None
    """Name of the MediaStore that keeps the files."""
    deletion_warned_at: datetime | None = None
    """Time of the last event about files that cannot be deleted (UTC)."""
    store_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation of the spec whose retention the store applies."""
    storage: StorageUse | None = None
    """Fill level of the store at the last write of this Recording."""
    damage: StorageDamage | None = None
    """Parts of the recording that the store cannot read, or that are in no MP4. Absent without
    damage."""
    size_bytes: Annotated[int, Field(ge=0)] | None = None
    """Size of all finished files in bytes."""
    file_count: Annotated[int, Field(ge=0)] | None = None
    """Number of files."""
    files: (
        Annotated[list[RecordingFile], Field(max_length=200, json_schema_extra=list_map("index"))]
        | None
    ) = None
    """The last two hundred files, oldest first."""
    conditions: Conditions | None = None
    """Ready: the recorder runs, waits for the stream, or has finished. Succeeded: the files are in
    the store. StorageReachable: chunks reach the store. StorageHeadroom: the store has enough free
    space. Complete is present only while False: content is lost or may be lost. StopLatched: the
    Recording was stopped, which is final. Reconciling and Stalled are present only while true."""


class Recording(Resource):
    """A recording of a LiveStream. Recording starts when the object is created."""

    crd: ClassVar[CrdNames] = CrdNames(
        kind="Recording",
        plural="recordings",
        singular="recording",
        short_name="rec",
        columns=(
            Column("Stream", "string", ".spec.streamRef.name", "The LiveStream."),
            Column("Phase", "string", ".status.phase", "Phase of the recording."),
            Column(
                "Recording_Duration",
                "number",
                ".status.recordingDuration",
                "Seconds of media in all files.",
            ),
            Column("Size", "integer", ".status.sizeBytes", "Size of all finished files in bytes."),
            Column("Files", "integer", ".status.fileCount", "Number of files."),
            Column("Age", "date", ".metadata.creationTimestamp", "Time since creation."),
            Column(
                "Reason",
                "string",
                '.status.conditions[?(@.type=="Succeeded")].reason',
                "Reason of the condition Succeeded.",
                priority=1,
            ),
        ),
        selectable_fields=(".spec.streamRef.name", ".spec.storeRef.name"),
        name_rules=dns_label_rule("Recording", 56, letter_first=False),
    )

    spec: RecordingSpec
    """Desired recording."""
    status: RecordingStatus | None = None
    """Observed state of the recording, written by the operator."""
