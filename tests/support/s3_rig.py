"""A store's pod on a bucket: its folders, its configuration, and a recording to finish."""

from __future__ import annotations

from pathlib import Path

from sluice_media.contract import (
    S3_ACCESS_KEY_FILE,
    S3_CA_FILE,
    S3_SECRET_KEY_FILE,
    BucketLocation,
    StoreConfig,
)
from sluice_media.pod.settings import PodSettings
from sluice_media.storage.object_store import ObjectStore
from tests.support.media_clips import Clip
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.support.store_pod import PREFIX, StorePod, leave, record

__all__ = ["BucketPod", "leave_recording"]


class BucketPod(StorePod):
    """A :class:`StorePod` with ``s3`` instead of a claim."""

    def __init__(
        self, folder: Path, s3: BucketLocation, *, authority: str = "", **config: object
    ) -> None:
        super().__init__(folder)
        self.folder = folder
        self.configure(s3, **config)
        self.set_keys()
        if authority:
            self._set(S3_CA_FILE, authority)
        self.settings = PodSettings.model_validate(
            {**self.settings.model_dump(), "spool_dir": folder / "spool"}
        )

    def configure(self, s3: BucketLocation, **config: object) -> None:
        fresh = StoreConfig.model_validate(
            {
                "namespace": "default",
                "name": "default",
                "uid": "u",
                "uri_base": f"s3://{s3.bucket}/{s3.prefix}/",
                "s3": s3,
                **config,
            }
        )
        (self.folder / "config.new").write_text(fresh.to_json())
        (self.folder / "config.new").rename(self.folder / "config.json")

    def set_keys(self, access: str = ACCESS_KEY, secret: str = SECRET_KEY) -> None:
        self._set(S3_ACCESS_KEY_FILE, access)
        self._set(S3_SECRET_KEY_FILE, secret)

    def _set(self, name: str, value: str) -> None:
        path = self.folder / "keys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "new").write_text(value)
        (path.parent / "new").rename(path)


async def leave_recording(
    server: S3Server, storage: ObjectStore, clip: Clip, *, done: bool = True
) -> None:
    """Put the chunks, the journal and the head of one attempt, like a recorder."""
    entry = record(server.objects / PREFIX / "a", clip, clip.units)
    await leave(storage, {"a": entry}, done=done)
