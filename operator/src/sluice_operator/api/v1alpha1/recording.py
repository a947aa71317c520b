"""Recording: keep what a LiveStream sends."""

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
    """For how long what was recorded is kept. It counts for each file, from its end."""

    seconds: Annotated[int, Field(ge=1, le=_TEN_YEARS)] | None = None
    """An MP4 is deleted so long after its end; absent: it is kept for ever."""
    keep_original: bool = False
    """true: beside the MP4, the original chunks stay as a playable HLS playlist (originUri)."""
    original_seconds: Annotated[int, Field(ge=1, le=_TEN_YEARS)] = 604_800
    """With keepOriginal: the original is deleted so long after the end of its file (7 days)."""


class RecordingOptions(ApiModel):
    """How is recorded and for how long it is kept: in a Recording, and in the recordingTemplate of
    a LiveStream."""

    store_ref: LocalRef | None = None
    """The MediaStore that keeps the files; absent: the one named default."""
    record_type: Literal["Origin"] = "Origin"
    """Origin: the media that the publisher sent, unchanged."""
    split_seconds: Annotated[int, Field(ge=10, le=604_800)] = 14_400
    """A file that is so long ends at the next keyframe, which begins the next file; nothing is lost
    or doubled in between. In a bucket, so does a file of 128 GiB."""
    max_duration_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """So much media in all files ends the Recording (MaxDurationReached); absent: no limit."""
    retention: Retention = Retention()
    """For how long what was recorded is kept. Can be changed at any time."""
    deletion_policy: Literal["Retain", "Delete"] = "Retain"
    """What becomes of the files when the Recording is deleted. Retain: they stay in the store.
    Delete: they are deleted too, and the Recording goes when they are gone."""


class RecordingSpec(RecordingOptions):
    """What to record. Only desiredState and retention can be changed later."""

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
    """The LiveStream to record. It may be off air or not even exist yet: then it is waited for."""
    desired_state: Literal["Recording", "Stopped"] = "Recording"
    """Stopped ends the recording for good; setting it back later changes nothing."""
    start_when_live: bool = True
    """true: a stream that is off air is waited for. false: the Recording fails (StreamNotLive) when
    the stream is not on air at its creation."""
    rearm_seconds: Annotated[int, Field(ge=0, le=604_800)] = 3_600
    """After the stream went off air its return is waited for so long, and opens the next file."""
    minimum_seconds: Annotated[int, Field(ge=0, le=3_600)] = 10
    """Stopped by desiredState with less than this in all files: nothing is kept (TooShort)."""


class FileGap(ApiModel):
    """Media that is missing in a file."""

    at_seconds: Annotated[float, Field(ge=0)]
    """Position in the MP4, where media follows on media."""
    wall_seconds: Annotated[float, Field(ge=0)]
    """How long is missing there."""


class RecordingFile(ApiModel):
    """One file of a Recording."""

    index: Annotated[int, Field(ge=0)]
    """Position among the files of this Recording, from 1."""
    name: Annotated[str, Field(max_length=253)]
    """File name, made of ids."""
    title: Annotated[str, Field(max_length=512)] | None = None
    """Stream Record: {title of the stream}, {end time UTC}."""
    state: Annotated[str, Field(max_length=32)]
    """Recording and Interrupted: being written. Finalizing: the MP4 is being made. Ready: there.
    Expired: retention.seconds have passed, it was deleted. Failed: the MP4 could not be made, see
    message. Discarded: it was too short and nothing of it was kept."""
    started_at: datetime
    """Wall clock at its first frame (UTC)."""
    ended_at: datetime | None = None
    """Wall clock at its last frame (UTC)."""
    duration_seconds: Annotated[float, Field(ge=0)] | None = None
    """Seconds of media in it."""
    size_bytes: Annotated[int, Field(ge=0)] | None = None
    """Size of the MP4."""
    sha256: Annotated[str, Field(max_length=64)] | None = None
    """SHA-256 of the MP4, in hex."""
    uri: Annotated[str, Field(max_length=2_048)] | None = None
    """Where the MP4 is."""
    origin_uri: Annotated[str, Field(max_length=2_048)] | None = None
    """Where the playlist (HLS) of the original chunks is: while the file is written and made, and
    after that with retention.keepOriginal."""
    expires_at: datetime | None = None
    """When retention deletes the MP4 (UTC); absent: never."""
    gaps: (
        Annotated[
            list[FileGap],
            Field(max_length=100, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """Where media is missing; the first hundred."""
    end_reason: Annotated[str, Field(max_length=64)] | None = None
    """Why the file was closed: SessionEnded, ParametersChanged, TimelineLost, Split, Stopped,
    MaxDurationReached or StorageLimit."""
    message: Annotated[str, Field(max_length=1_024)] | None = None
    """Why it failed, or what of it is lost, in words."""


class StorageUse(ApiModel):
    """How full the store is."""

    used_bytes: Annotated[int, Field(ge=0)] | None = None
    """Bytes that all recordings in it take up."""
    limit_bytes: Annotated[int, Field(ge=0)] | None = None
    """How many there may be: the store's limit, or the size of its volume."""


class StorageDamage(ApiModel):
    """What of the recording the store cannot read, or has in no MP4."""

    journal_segments: Annotated[int, Field(ge=0)] | None = None
    """Segments of the recorders' journals that are missing or damaged."""
    lost_chunks: Annotated[int, Field(ge=0)] | None = None
    """Chunks that are missing or damaged; the gaps of the files say where."""
    kept_chunks: Annotated[int, Field(ge=0)] | None = None
    """Chunks that are in no MP4. They are kept for some time, and never deleted unseen."""
    kept_until: datetime | None = None
    """When the store deletes them (UTC)."""


class RecordingStatus(ApiModel):
    """What the recorder and the store measure."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """The generation of the spec that this status was decided about; -1: not decided yet."""
    recording: bool | None = None
    """A file is open; also during an interruption within the resume window."""
    recording_duration: Annotated[float, Field(ge=0)] | None = None
    """Seconds of media over all files, at observedAt."""
    observed_at: datetime | None = None
    """When recordingDuration was measured (UTC)."""
    recording_started_at: datetime | None = None
    """Wall clock at the first frame of the first file (UTC)."""
    phase: Annotated[str, Field(max_length=32)] | None = None
    """Pending, Recording, Interrupted, Finalizing, Completed, Failed or Discarded. For people;
    programs read the conditions."""
    end_reason: Annotated[str, Field(max_length=64)] | None = None
    """Why it ended: Stopped, StreamEnded, MaxDurationReached, StorageLimit, TooShort, RecorderLost,
    StreamNotLive, NoSpace or Restored. Absent until then."""
    restored_uid: Annotated[str, Field(max_length=64)] | None = None
    """Uid of the earlier Recording of this name whose files these are: it had ended, and this
    object was made anew, out of Git or of a backup."""
    session_started_at: datetime | None = None
    """Of a Recording that autoRecord made: when the session began that it is of (UTC)."""
    stream_uid: Annotated[str, Field(max_length=64)] | None = None
    """Uid of the LiveStream that is recorded; the Recording outlives it."""
    store_name: Annotated[str, Field(max_length=253)] | None = None
    """The MediaStore that keeps the files."""
    deletion_warned_at: datetime | None = None
    """When it was said last that its files cannot be deleted (UTC)."""
    store_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec whose retention the store works with."""
    storage: StorageUse | None = None
    """How full the store was when this Recording wrote into it last."""
    damage: StorageDamage | None = None
    """Absent while the store can read everything and all of it is in the files."""
    size_bytes: Annotated[int, Field(ge=0)] | None = None
    """Size of all finished files."""
    file_count: Annotated[int, Field(ge=0)] | None = None
    """How many files there are."""
    files: (
        Annotated[list[RecordingFile], Field(max_length=200, json_schema_extra=list_map("index"))]
        | None
    ) = None
    """The files, oldest first; the last two hundred."""
    conditions: Conditions | None = None
    """Ready: the recorder is in place (waiting counts) or has done its work. Succeeded: the files
    are in the store. StorageReachable: chunks reach the store. StorageHeadroom: there is room in
    it. Complete: only while False, content is lost or may be. StopLatched: it was stopped, which is
    final. Reconciling, Stalled: only while true."""


class Recording(Resource):
    """A recording of a LiveStream. Creating it starts it."""

    crd: ClassVar[CrdNames] = CrdNames(
        kind="Recording",
        plural="recordings",
        singular="recording",
        short_name="rec",
        columns=(
            Column("Stream", "string", ".spec.streamRef.name", "The LiveStream."),
            Column("Phase", "string", ".status.phase", "What it does."),
            Column(
                "Recording_Duration",
                "number",
                ".status.recordingDuration",
                "Seconds over all files.",
            ),
            Column("Size", "integer", ".status.sizeBytes", "Bytes of all finished files."),
            Column("Files", "integer", ".status.fileCount", "How many files there are."),
            Column("Age", "date", ".metadata.creationTimestamp", "Time since creation."),
            Column(
                "Reason",
                "string",
                '.status.conditions[?(@.type=="Succeeded")].reason',
                "Why it is in this phase.",
                priority=1,
            ),
        ),
        selectable_fields=(".spec.streamRef.name", ".spec.storeRef.name"),
        name_rules=dns_label_rule("Recording", 56, letter_first=False),
    )

    spec: RecordingSpec
    """What to record."""
    status: RecordingStatus | None = None
    """What is measured; written by the operator."""
