"""Version v1alpha1 of the API: LiveStream, Recording, Restream, MediaStore."""

from sluice_operator.api.v1alpha1.common import Resource
from sluice_operator.api.v1alpha1.livestream import LiveStream, LiveStreamSpec, LiveStreamStatus
from sluice_operator.api.v1alpha1.mediastore import MediaStore, MediaStoreSpec, MediaStoreStatus
from sluice_operator.api.v1alpha1.recording import (
    DEFAULT_STORE,
    Recording,
    RecordingSpec,
    RecordingStatus,
    Retention,
)
from sluice_operator.api.v1alpha1.restream import Restream, RestreamSpec, RestreamStatus

__all__ = [
    "DEFAULT_STORE",
    "KINDS",
    "LiveStream",
    "LiveStreamSpec",
    "LiveStreamStatus",
    "MediaStore",
    "MediaStoreSpec",
    "MediaStoreStatus",
    "Recording",
    "RecordingSpec",
    "RecordingStatus",
    "Restream",
    "RestreamSpec",
    "RestreamStatus",
    "Retention",
]

KINDS: tuple[type[Resource], ...] = (LiveStream, Recording, Restream, MediaStore)
"""Every kind of this version."""
