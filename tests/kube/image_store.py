"""An OCI image layout (image-spec 1.0) in the cache. Images share their blobs.

A node gets only the blobs that it lacks. So a code change sends kilobytes of an image of hundreds
of megabytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.kube.errors import KubeToolError
from tests.kube.files import replace

__all__ = ["Layout", "prune_index"]

REFERENCE = "org.opencontainers.image.ref.name"
#: Annotation with the image's full name, which the import of containerd reads.
CONTAINERD_NAME = "io.containerd.image.name"


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout folder with all versions of all images."""

    folder: Path

    def blob(self, digest: str) -> Path:
        """Return the file of a blob, e.g. of ``sha256:…``."""
        algorithm, _, value = digest.partition(":")
        return self.folder / "blobs" / algorithm / value

    def index(self) -> dict[str, Any]:
        """Return the layout's index; empty when nothing was stored yet."""
        try:
            return dict(json.loads((self.folder / "index.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {"schemaVersion": 2, "manifests": []}

    def references(self) -> list[str]:
        """Return every image name in the layout, oldest first."""
        return [m["annotations"][REFERENCE] for m in self.index()["manifests"]]

    def descriptor(self, reference: str) -> dict[str, Any]:
        """Return the index entry of an image.

        Raises:
            KubeToolError: the image was not built, or was pruned.
        """
        for manifest in self.index()["manifests"]:
            if manifest["annotations"][REFERENCE] == reference:
                return dict(manifest)
        raise KubeToolError(f"{reference} is not in the cache; run: python3 -m tests.kube images")

    def blobs_of(self, descriptor: Mapping[str, Any]) -> list[str]:
        """Return the digests of an image's parts: manifest, config, layers."""
        manifest = json.loads(self.blob(descriptor["digest"]).read_text(encoding="utf-8"))
        parts = [manifest["config"], *manifest["layers"]]
        return [descriptor["digest"], *(part["digest"] for part in parts)]

    def write_archive(self, reference: str, present: Collection[str], output: IO[bytes]) -> int:
        """Write an oci-archive without the blobs that the receiver has.

        Args:
            reference: the image.
            present: digests to leave out.
            output: file for the tar stream.

        Returns:
            The number of bytes of blobs written.
        """
        descriptor = self.descriptor(reference)
        descriptor["annotations"] = {**descriptor["annotations"], CONTAINERD_NAME: reference}
        index = {"schemaVersion": 2, "manifests": [descriptor]}
        written = 0
        with tarfile.open(fileobj=output, mode="w|") as tar:
            _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
            _add(tar, "index.json", json.dumps(index).encode())
            for digest in dict.fromkeys(self.blobs_of(descriptor)):
                # The import starts with the manifest, so the manifest is always sent.
                if digest in present and digest != descriptor["digest"]:
                    continue
                path = self.blob(digest)
                tar.add(path, f"blobs/{digest.replace(':', '/')}", recursive=False)
                written += path.stat().st_size
        return written

    def prune(self, repository: str, keep: int) -> list[str]:
        """Remove all but the newest versions of an image, and the blobs that are not used any more.

        Returns:
            The names of the removed images.
        """
        index, forgotten = prune_index(self.index(), repository, keep)
        if not forgotten:
            return []
        replace(self.folder / "index.json", json.dumps(index))
        needed = {digest for each in index["manifests"] for digest in self.blobs_of(each)}
        for blob in (self.folder / "blobs" / "sha256").iterdir():
            if f"sha256:{blob.name}" not in needed:
                blob.unlink()
        return forgotten


def prune_index(
    index: Mapping[str, Any], repository: str, keep: int
) -> tuple[dict[str, Any], list[str]]:
    """Return an index without the oldest versions of one image, and the names of those."""
    names: Sequence[str] = [m["annotations"][REFERENCE] for m in index["manifests"]]
    versions = [name for name in names if name.rpartition(":")[0] == repository]
    forgotten = versions[: max(0, len(versions) - keep)]
    kept = [m for m in index["manifests"] if m["annotations"][REFERENCE] not in forgotten]
    return {**index, "manifests": kept}, forgotten


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
