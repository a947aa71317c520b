"""The inputs of each image, copied to a folder and hashed. The hash is the image's tag.

The copy is the build context. So a file that is edited during a build cannot get the hash of its
older text.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kube.errors import KubeToolError

__all__ = ["IMAGES", "ImageSpec", "content_hash", "copy_inputs"]

HASH_DIGITS = 12
_SKIPPED = ("__pycache__", "*.pyc", "*.egg-info", ".*")


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """One of our images."""

    name: str
    dockerfile: str
    """Path in the repository."""
    inputs: Sequence[str]
    """Files and folders in the repository that the Dockerfile copies."""

    @property
    def repository(self) -> str:
        """The image's name without a tag."""
        return f"localhost/sluice-{self.name}"


_MEDIA = "images/media/src/sluice_media"

IMAGES: Mapping[str, ImageSpec] = {
    spec.name: spec
    for spec in (
        ImageSpec(
            "operator",
            "images/operator/Dockerfile",
            [
                "operator/requirements.lock",
                f"{_MEDIA}/__init__.py",
                f"{_MEDIA}/contract",
                "operator/src/sluice_operator",
            ],
        ),
        ImageSpec(
            "media",
            "images/media/Dockerfile",
            ["images/media/requirements.lock", _MEDIA],
        ),
        ImageSpec(
            "edge",
            "images/edge/Dockerfile",
            [
                "images/edge/player/package.json",
                "images/edge/player/package-lock.json",
                "images/edge/player/build.mjs",
                "images/edge/player/src",
                "images/edge/entrypoint.sh",
                "images/edge/nginx.conf",
                "images/edge/lua",
            ],
        ),
    )
}


def copy_inputs(spec: ImageSpec, repository: Path, context: Path) -> None:
    """Copy the Dockerfile and its inputs to an empty folder.

    Raises:
        KubeToolError: an input is not in the repository.
    """
    for name in (spec.dockerfile, *spec.inputs):
        source, target = repository / name, context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_SKIPPED))
        elif source.is_file():
            shutil.copy2(source, target)
        else:
            raise KubeToolError(f"the image {spec.name} needs {name}, which does not exist")
    # The image's user does not own the files, and a checkout may be closed to other users.
    for path in context.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def content_hash(context: Path) -> str:
    """Return twelve hexadecimal digits over all paths and contents below a folder.

    Times and owners are not hashed, so a new checkout gives an equal tag.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in context.rglob("*") if path.is_file()):
        data = path.read_bytes()
        # Lengths separate the fields: a byte that moves between two files must change the hash.
        digest.update(f"{path.relative_to(context).as_posix()}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:HASH_DIGITS]
