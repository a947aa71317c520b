"""Reasons and states on the wire: one enumeration for each vocabulary.

They are for writing and comparing. The fields of the wire models stay ``str``: a pod or an operator
of a newer version may send a word that is not listed here, and the reader must not fail on it.

A word consists of at most 32 letters. The operator writes words of pods into statuses, also words
that it does not know, and the API server refuses a status with a longer word.
"""

from __future__ import annotations

from enum import StrEnum


class ConfigErrorReason(StrEnum):
    """Reason for which a pod cannot apply its configuration (``config_error_reason``)."""

    DUPLICATE_TARGET = "DuplicateTarget"
    INVALID_CERTIFICATE = "InvalidCertificate"
    INVALID_GUARD = "InvalidGuard"
    INVALID_URI = "InvalidUri"
    PASSPHRASE_MISSING = "PassphraseMissing"
    SECRET_KEY_MISSING = "SecretKeyMissing"


class LegReason(StrEnum):
    """Reason for which a hub refuses or ends a leg, or a gateway refuses a publisher."""

    BAD_KEY = "BadKey"
    BAD_MEDIA = "BadMedia"
    BUSY = "Busy"
    """Another publisher with the key is on air."""
    DISABLED = "Disabled"
    """``spec.active`` is false, or the stream has no backup leg."""
    DRAINING = "Draining"
    """The hub is about to be replaced. Post the leg again: the next hub takes it."""
    KEY_ROTATED = "KeyRotated"
    PASSPHRASE_MISSING = "PassphraseMissing"
    PROTOCOL_NOT_ALLOWED = "ProtocolNotAllowed"
    TAKEN_OVER = "TakenOver"
    """The publisher came back over another connection."""
    UNKNOWN_STREAM = "UnknownStream"
    """No Service has the name of the stream's hub."""
    UNSUPPORTED_CODEC = "UnsupportedCodec"


class SessionEndReason(StrEnum):
    """Reason for the end of a session: in the timeline's ``end`` record and in the status."""

    DISABLED = "Disabled"
    KEY_ROTATED = "KeyRotated"
    WINDOW_PASSED = "WindowPassed"
    """No publisher came back within the resume window."""


class TimelineRefusal(StrEnum):
    """Reason for which a hub refuses to send a timeline."""

    NO_SUCH_SESSION = "NoSuchSession"


class FileState(StrEnum):
    """State of one file of a Recording."""

    RECORDING = "Recording"
    INTERRUPTED = "Interrupted"
    FINALIZING = "Finalizing"
    READY = "Ready"
    EXPIRED = "Expired"
    """Retention deleted the file."""
    FAILED = "Failed"
    DISCARDED = "Discarded"


class FileEndReason(StrEnum):
    """Reason for the end of one file of a Recording."""

    SESSION_ENDED = "SessionEnded"
    PARAMETERS_CHANGED = "ParametersChanged"
    TIMELINE_LOST = "TimelineLost"
    SPLIT = "Split"
    STOPPED = "Stopped"
    MAX_DURATION_REACHED = "MaxDurationReached"
    STORAGE_LIMIT = "StorageLimit"


class RecordingEndReason(StrEnum):
    """Reason for the end of a Recording."""

    STOPPED = "Stopped"
    STREAM_ENDED = "StreamEnded"
    TOO_SHORT = "TooShort"
    MAX_DURATION_REACHED = "MaxDurationReached"
    STORAGE_LIMIT = "StorageLimit"
    NO_SPACE = "NoSpace"
    """The store was full before anything was recorded."""
    RECORDER_LOST = "RecorderLost"


class ResultState(StrEnum):
    """State of a Recording in its store."""

    UNKNOWN = "Unknown"
    """The store holds nothing of the Recording."""
    OPEN = "Open"
    """A recorder still writes."""
    FINALIZING = "Finalizing"
    DONE = "Done"
    FAILED = "Failed"
    DELETING = "Deleting"
    DELETED = "Deleted"
    """The store has deleted everything of the Recording, as requested."""


class IncompleteReason(StrEnum):
    """Reason for which content of a Recording is lost or may be lost."""

    CHUNKS_LOST = "ChunksLost"
    SEGMENT_MISSING = "SegmentMissing"
    JOURNAL_DAMAGED = "JournalDamaged"
    CHUNKS_UNNAMED = "ChunksUnnamed"
    CHUNKS_LATE = "ChunksLate"
    MANIFEST_DAMAGED = "ManifestDamaged"


class StorageReason(StrEnum):
    """Reason for which the storage of recordings refuses a request or fails."""

    ACCESS_DENIED = "AccessDenied"
    INCOMPLETE = "Incomplete"
    """The storage holds or returns other bytes than were written."""
    INPUT_OUTPUT_ERROR = "InputOutputError"
    INVALID_KEY = "InvalidKey"
    """The key of an object leads outside the volume. Our own keys never do."""
    NOT_FOUND = "NotFound"
    """An object that is read does not exist."""
    NO_SPACE = "NoSpace"
    NO_SUCH_BUCKET = "NoSuchBucket"
    READ_ONLY = "ReadOnly"
    SLOW_DOWN = "SlowDown"
    STORE_FAILED = "StoreFailed"
    """Any other failure."""
    TIMEOUT = "Timeout"
    TLS = "Tls"
    UNREACHABLE = "Unreachable"
    WRONG_REGION = "WrongRegion"


class SpoolReason(StrEnum):
    """Reason for which the recorder's own disk, on which chunks wait for their upload, fails."""

    NO_SPACE = "SpoolNoSpace"
    INPUT_OUTPUT_ERROR = "SpoolInputOutputError"
    READ_ONLY = "SpoolReadOnly"
    FAILED = "SpoolFailed"
    """Any other failure."""


class HeadroomState(StrEnum):
    """Free space of a store, compared with its limit or volume."""

    UNKNOWN = "Unknown"
    ENOUGH = "Enough"
    ALMOST_EXCEEDED = "AlmostExceeded"
    EXCEEDED = "Exceeded"
    """Nothing can be recorded."""


class PushIdleReason(StrEnum):
    """Reason for which a pusher is idle."""

    CHECKING_TARGET = "CheckingTarget"
    """The operator has not cleared the target yet."""
    CODEC_MISMATCH = "CodecMismatch"
    DISABLED = "Disabled"
    STREAM_NOT_FOUND = "StreamNotFound"
    WAITING_FOR_STREAM = "WaitingForStream"


class TargetErrorClass(StrEnum):
    """Class of the error with which a push failed."""

    DNS = "Dns"
    REFUSED = "Refused"
    RESET = "Reset"
    TIMEOUT = "Timeout"
    CLOSED = "Closed"
    BAD_NAME = "BadName"
    """The target refuses the application or the stream key."""
    UNAUTHORIZED = "Unauthorized"
    TLS = "Tls"
    UNSUPPORTED = "Unsupported"
    FORBIDDEN = "Forbidden"
    """The cluster's own rules do not allow the address."""
