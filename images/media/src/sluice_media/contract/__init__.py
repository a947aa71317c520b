"""The contract between the planes: configuration in, status out, and the headers on the wire.

This package is the one thing that the operator and the media pods share; importing it needs
pydantic alone. JSON names are camelCase, as everywhere in Kubernetes. Every model tolerates
fields that it does not know, because a pod of the previous version must understand this one.

Ports and paths
    :data:`HUB_PORT`     legs in (``POST /v1/legs``) and timeline out (``GET /v1/timeline``)
    :data:`STATUS_PORT`  ``GET /v1/status`` (long poll), ``/metrics``, ``/healthz``, ``/readyz``
    :data:`STORE_PORT`   the store's ``/v1/recordings``

Files in a pod
    :data:`CONFIG_FILE`  the role's configuration (a ConfigMap), watched
    :data:`KEYS_DIR`     tokens and keys (Secrets), one file each, watched
"""

from sluice_media.contract.base import (
    CONFIG_ANNOTATION,
    CONFIG_DIR,
    CONFIG_FILE,
    HELLO_HEADER,
    HUB_PORT,
    HUB_TOKEN_FILE,
    INGEST_TOKEN_FILE,
    KEYS_DIR,
    RTMP_PORT,
    SPOOL_DIR,
    STATUS_PORT,
    STORE_DIR,
    STORE_PORT,
    STORE_TOKEN_FILE,
    STREAM_KEY_FILE,
    TARGET_URI_FILE,
    TOKEN_HEADER,
    Model,
    Seconds,
)
from sluice_media.contract.config import (
    DesiredState,
    IngestConfig,
    PodConfig,
    PusherConfig,
    RecorderConfig,
    RingPin,
    StoreConfig,
    StoredRecording,
    StreamRef,
)
from sluice_media.contract.status import (
    Gap,
    IngestStatus,
    Media,
    PodStatus,
    PusherStatus,
    PushState,
    RecordedFile,
    RecorderPhase,
    RecorderStatus,
    Rejection,
    Session,
    StoredResult,
    StoreStatus,
    TargetError,
)
from sluice_media.contract.wire import (
    LegAck,
    LegEnd,
    LegHello,
    Refusal,
    TimelineAck,
    TimelineAnchor,
    TimelineEnd,
    TimelineFormat,
    TimelineGap,
    TimelineHeartbeat,
    TrackInfo,
)

__all__ = [
    "CONFIG_ANNOTATION",
    "CONFIG_DIR",
    "CONFIG_FILE",
    "HELLO_HEADER",
    "HUB_PORT",
    "HUB_TOKEN_FILE",
    "INGEST_TOKEN_FILE",
    "KEYS_DIR",
    "RTMP_PORT",
    "SPOOL_DIR",
    "STATUS_PORT",
    "STORE_DIR",
    "STORE_PORT",
    "STORE_TOKEN_FILE",
    "STREAM_KEY_FILE",
    "TARGET_URI_FILE",
    "TOKEN_HEADER",
    "DesiredState",
    "Gap",
    "IngestConfig",
    "IngestStatus",
    "LegAck",
    "LegEnd",
    "LegHello",
    "Media",
    "Model",
    "PodConfig",
    "PodStatus",
    "PushState",
    "PusherConfig",
    "PusherStatus",
    "RecordedFile",
    "RecorderConfig",
    "RecorderPhase",
    "RecorderStatus",
    "Refusal",
    "Rejection",
    "RingPin",
    "Seconds",
    "Session",
    "StoreConfig",
    "StoreStatus",
    "StoredRecording",
    "StoredResult",
    "StreamRef",
    "TargetError",
    "TimelineAck",
    "TimelineAnchor",
    "TimelineEnd",
    "TimelineFormat",
    "TimelineGap",
    "TimelineHeartbeat",
    "TrackInfo",
]
