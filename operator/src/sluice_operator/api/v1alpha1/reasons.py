"""The reasons of conditions and events, and the phases of Recordings.

Programs match these words, so they never change. The tables in ``docs/`` list them, and
``tests/unit/api/test_reasons.py`` compares both. Some are reported by media pods: their members are
here so that the tables are complete.
"""

from __future__ import annotations

from enum import StrEnum

# --------------------------------------------------------------------------- every kind


class ReadyReason(StrEnum):
    """Reasons of Ready=True."""

    CONFIGURED = "Configured"
    ADDRESS_PENDING = "AddressPending"
    """A LiveStream is set up, and the gateway has no public address yet."""
    FINISHED = "Finished"
    """A Recording is over and needs no recorder."""
    DISABLED = "Disabled"
    """A Restream is switched off."""


class ReconcilingReason(StrEnum):
    """Reasons of Reconciling=True, and of Ready=Unknown."""

    STARTING = "Starting"
    NOT_ANSWERING = "NotAnswering"
    """The pod has not answered for more than 10 s."""
    REPLACING = "Replacing"
    """A child of an earlier object of this name is still being deleted."""
    PROGRESSING = "Progressing"
    """Ready is True; the pod does not work with the newest configuration yet."""
    STREAM_NOT_FOUND = "StreamNotFound"
    STORE_NOT_FOUND = "StoreNotFound"


class StalledReason(StrEnum):
    """Reasons of Stalled=True, and of Ready=False: the user must act.

    A Recording that failed has the reason of Succeeded instead (`SucceededReason`). A Restream that
    its target refuses has the class of the refusal (`PushReason`)."""

    NAME_CONFLICT = "NameConflict"
    INVALID_SPEC = "InvalidSpec"
    INVALID_CONFIGURATION = "InvalidConfiguration"
    """The pod reports an error of its configuration without a reason."""
    SECRET_KEY_MISSING = "SecretKeyMissing"
    INVALID_CERTIFICATE = "InvalidCertificate"
    INVALID_URI = "InvalidUri"
    INVALID_GUARD = "InvalidGuard"
    NOT_ALLOWED = "NotAllowed"
    """The operator lacks a right, or an admission policy refuses a child."""
    REFUSED = "Refused"
    """The API server refuses a child as invalid."""
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    POD_NOT_STARTING = "PodNotStarting"
    POD_CRASHING = "PodCrashing"
    POD_FORBIDDEN = "PodForbidden"
    STREAM_NOT_FOUND = "StreamNotFound"
    STORE_NOT_FOUND = "StoreNotFound"
    STORE_NOT_READY = "StoreNotReady"
    DELETION_BLOCKED = "DeletionBlocked"
    DUPLICATE_TARGET = "DuplicateTarget"
    CLAIM_NOT_FOUND = "ClaimNotFound"
    CLAIM_LOST = "ClaimLost"
    NOT_WRITABLE = "NotWritable"
    """The store pod reports that it cannot write, without a reason."""
    ACCESS_DENIED = "AccessDenied"
    NO_SUCH_BUCKET = "NoSuchBucket"
    WRONG_REGION = "WrongRegion"
    UNREACHABLE = "Unreachable"
    TLS = "Tls"
    TIMEOUT = "Timeout"
    SLOW_DOWN = "SlowDown"
    NO_SPACE = "NoSpace"
    READ_ONLY = "ReadOnly"
    INPUT_OUTPUT_ERROR = "InputOutputError"
    INCOMPLETE = "Incomplete"
    STORE_FAILED = "StoreFailed"


class UpdatePendingReason(StrEnum):
    """Reasons of UpdatePending."""

    WAITING_FOR_IDLE = "WaitingForIdle"
    ROLLING_OUT = "RollingOut"
    UP_TO_DATE = "UpToDate"


class HeadroomReason(StrEnum):
    """Reasons of StorageHeadroom."""

    ENOUGH = "Enough"
    ALMOST_EXCEEDED = "AlmostExceeded"
    EXCEEDED = "Exceeded"
    NOT_MEASURED = "NotMeasured"


class EventReason(StrEnum):
    """Reasons of events that no condition's transition causes."""

    RECORDER_FINISHED = "RecorderFinished"
    RECORDER_GIVEN_UP = "RecorderGivenUp"
    STORE_NOT_TOLD = "StoreNotTold"
    FILES_LEFT = "FilesLeft"
    DELETION_BLOCKED = "DeletionBlocked"
    NOT_PROTECTED = "NotProtected"
    RECORDING_NOT_MADE = "RecordingNotMade"
    POD_DISRUPTION_BUDGET_NOT_MADE = "PodDisruptionBudgetNotMade"
    POD_NOT_ANNOTATED = "PodNotAnnotated"


# --------------------------------------------------------------------------- LiveStream


class LiveReason(StrEnum):
    """Reasons of a LiveStream's Live."""

    ON_AIR = "OnAir"
    WAITING_FOR_PUBLISHER = "WaitingForPublisher"
    WAITING_FOR_KEYFRAME = "WaitingForKeyframe"
    WAITING_FOR_SOURCE = "WaitingForSource"
    INTERRUPTED = "Interrupted"
    INACTIVITY_TIMEOUT = "InactivityTimeout"
    DISABLED = "Disabled"
    STARTING = "Starting"
    STALE = "Stale"


class BackupLiveReason(StrEnum):
    """Reasons of BackupLive."""

    DELIVERING = "Delivering"
    WAITING_FOR_PUBLISHER = "WaitingForPublisher"
    NOT_DELIVERING = "NotDelivering"
    DISABLED = "Disabled"
    STARTING = "Starting"
    STALE = "Stale"


class StreamRecordingReason(StrEnum):
    """Reasons of a LiveStream's Recording."""

    RECORDING = "Recording"
    NOT_RECORDING = "NotRecording"


class PlaybackReadyReason(StrEnum):
    """Reasons of PlaybackReady: first those of True, then those of False, then that of Unknown."""

    SERVING = "Serving"
    KEYFRAME_INTERVAL = "KeyframeInterval"
    """Playback works, but keyframes are more than 4 s apart. It is advice, so it is a reason of
    True: players play such a stream, only later."""
    NOT_ON_AIR = "NotOnAir"
    STARTING = "Starting"
    """The play pods are starting, or have no complete segment of the session yet."""
    NO_CAPACITY = "NoCapacity"
    """No node has room for a play pod, or a quota refuses it."""
    POD_FAILING = "PodFailing"
    """The play pods cannot be made, cannot start, or reject their configuration."""
    EDGE_DISABLED = "EdgeDisabled"
    EDGE_ADDRESS_PENDING = "EdgeAddressPending"
    EDGE_NOT_ANSWERING = "EdgeNotAnswering"
    STALE = "Stale"


class NoRandomAccessReason(StrEnum):
    """The reason of NoRandomAccess."""

    NO_KEYFRAME = "NoKeyframe"


# --------------------------------------------------------------------------- Recording


class RecordingPhase(StrEnum):
    """Values of a Recording's ``status.phase``."""

    PENDING = "Pending"
    RECORDING = "Recording"
    INTERRUPTED = "Interrupted"
    FINALIZING = "Finalizing"
    COMPLETED = "Completed"
    FAILED = "Failed"
    DISCARDED = "Discarded"


class EndReason(StrEnum):
    """Values of a Recording's ``status.endReason``: why its recorder's work is over."""

    STOPPED = "Stopped"
    STREAM_ENDED = "StreamEnded"
    MAX_DURATION_REACHED = "MaxDurationReached"
    STORAGE_LIMIT = "StorageLimit"
    TOO_SHORT = "TooShort"
    RECORDER_LOST = "RecorderLost"
    STREAM_NOT_LIVE = "StreamNotLive"
    NO_SPACE = "NoSpace"
    RESTORED = "Restored"


class SucceededReason(StrEnum):
    """Reasons of Succeeded: first those of Unknown, then those of True, then those of False."""

    STARTING = "Starting"
    WAITING_FOR_STREAM = "WaitingForStream"
    RECORDING = "Recording"
    INTERRUPTED = "Interrupted"
    WAITING_FOR_RETURN = "WaitingForReturn"
    CLOSING = "Closing"
    FINALIZING = "Finalizing"
    WAITING_FOR_STORE = "WaitingForStore"
    STALE = "Stale"
    STOPPED = "Stopped"
    STREAM_ENDED = "StreamEnded"
    MAX_DURATION_REACHED = "MaxDurationReached"
    STORAGE_LIMIT = "StorageLimit"
    RECORDER_LOST = "RecorderLost"
    TOO_SHORT = "TooShort"
    RESTORED = "Restored"
    STREAM_NOT_LIVE = "StreamNotLive"
    NO_SPACE = "NoSpace"
    NOTHING_RECORDED = "NothingRecorded"
    FINALIZE_FAILED = "FinalizeFailed"
    """A failure that may still become a success, because the store tries again."""


class StopLatchedReason(StrEnum):
    """The reason of StopLatched."""

    STOPPED = "Stopped"


class StorageReachableReason(StrEnum):
    """Reasons of StorageReachable. Those of False are the recorder's."""

    REACHABLE = "Reachable"
    ACCESS_DENIED = "AccessDenied"
    NO_SUCH_BUCKET = "NoSuchBucket"
    WRONG_REGION = "WrongRegion"
    UNREACHABLE = "Unreachable"
    TLS = "Tls"
    TIMEOUT = "Timeout"
    SLOW_DOWN = "SlowDown"
    NO_SPACE = "NoSpace"
    READ_ONLY = "ReadOnly"
    INPUT_OUTPUT_ERROR = "InputOutputError"
    INCOMPLETE = "Incomplete"
    STORE_FAILED = "StoreFailed"
    SPOOL_NO_SPACE = "SpoolNoSpace"
    SPOOL_INPUT_OUTPUT_ERROR = "SpoolInputOutputError"
    SPOOL_READ_ONLY = "SpoolReadOnly"
    SPOOL_FAILED = "SpoolFailed"


class CompleteReason(StrEnum):
    """Reasons of Complete=False; the store reports them."""

    CHUNKS_LOST = "ChunksLost"
    SEGMENT_MISSING = "SegmentMissing"
    JOURNAL_DAMAGED = "JournalDamaged"
    CHUNKS_UNNAMED = "ChunksUnnamed"
    CHUNKS_LATE = "ChunksLate"
    MANIFEST_DAMAGED = "ManifestDamaged"


# --------------------------------------------------------------------------- Restream


class PushReason(StrEnum):
    """Reasons of a Restream's Live. While the Restream is Stalled, Live has the reason of
    Stalled."""

    PUBLISHING = "Publishing"
    WAITING_FOR_STREAM = "WaitingForStream"
    DISABLED = "Disabled"
    CONNECTING = "Connecting"
    SOURCE_INTERRUPTED = "SourceInterrupted"
    TARGET_STALLED = "TargetStalled"
    RETRYING = "Retrying"
    CODEC_MISMATCH = "CodecMismatch"
    GAVE_UP = "GaveUp"
    STREAM_NOT_FOUND = "StreamNotFound"
    STARTING = "Starting"
    STALE = "Stale"
    REJECTED = "Rejected"
    """The pusher reports a refusal without its class."""
    BAD_NAME = "BadName"
    UNAUTHORIZED = "Unauthorized"
    TLS = "Tls"
    UNSUPPORTED = "Unsupported"
    FORBIDDEN = "Forbidden"
    CLOSED = "Closed"
    RESET = "Reset"
