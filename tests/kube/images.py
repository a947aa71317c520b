"""Builder of our images: with Docker if its daemon answers, and with buildah if not.

Docker and buildah read the same Dockerfiles. Without Docker, the base is a Debian root file system
that mmdebstrap makes once, and finished images are stored in an OCI layout in the cache
(``image_store``).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kube.commands import run, succeeds
from tests.kube.console import board, say, step
from tests.kube.errors import KubeToolError
from tests.kube.files import replace
from tests.kube.image_inputs import IMAGES, ImageSpec, content_hash, copy_inputs
from tests.kube.image_store import Layout
from tests.kube.locking import exclusive
from tests.kube.paths import REPOSITORY, Paths

__all__ = ["ImageBuilder", "buildah_command", "docker_command"]

SUITE = "trixie"
BASE_IMAGE = f"localhost/sluice-base:{SUITE}"
KEEP_VERSIONS = 3
#: Files with the trusted certificates of Debian, of Fedora, of Alpine and macOS, and of openSUSE.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)


def docker_command(
    spec: ImageSpec, reference: str, context: Path, bundle: Path | None
) -> list[str]:
    """Return the ``docker build`` command for an image on its public base."""
    return [
        *("docker", "build", "--quiet", "--tag", reference),
        *_secret(bundle),
        *("--file", str(context / spec.dockerfile), str(context)),
    ]


def buildah_command(
    storage: Sequence[str], spec: ImageSpec, reference: str, context: Path, bundle: Path | None
) -> list[str]:
    """Return the ``buildah bud`` command for an image on our own base.

    Isolation ``chroot`` and the host's network also work where nested containers are not allowed.
    """
    return [
        *("buildah", *storage, "bud", "--quiet", "--layers"),
        *("--isolation", "chroot", "--network", "host", "--pull-never"),
        *("--build-arg", f"BASE={BASE_IMAGE}"),
        *_secret(bundle),
        *("--tag", reference, "--file", str(context / spec.dockerfile), str(context)),
    ]


def _secret(bundle: Path | None) -> list[str]:
    return ["--secret", f"id=ca,src={bundle}"] if bundle else []


def _bundle() -> Path | None:
    """Return the file with the certificates that this machine trusts. On a network that inspects
    TLS, it has the certificate of that network too."""
    given = os.environ.get("SSL_CERT_FILE")
    paths = map(Path, [given] if given else BUNDLES)
    return next((path for path in paths if path.is_file()), None)


@dataclass(frozen=True, slots=True)
class ImageBuilder:
    """Builder of images in the cache, with a record of the newest tags."""

    paths: Paths
    use_docker: bool

    @property
    def layout(self) -> Layout:
        """The images built without Docker."""
        return Layout(self.paths.images / "oci")

    def build(self, names: Sequence[str]) -> dict[str, str]:
        """Build the images whose content changed.

        Returns:
            Image → full name with tag, of all images built so far.

        Raises:
            KubeToolError: an unknown image, or a build that failed (with its output).
        """
        for name in names:
            if name not in IMAGES:
                raise KubeToolError(f"no image named {name!r}; known: {', '.join(IMAGES)}")
        with exclusive(self.paths.images / ".lock", "building images"):
            for number, name in enumerate(names, 1):
                board.put("images", f"{number} of {len(names)} ({name})")
                try:
                    with board.going():
                        reference = self._build_one(IMAGES[name])
                finally:
                    board.drop("images")
                self._record(name, reference)
        return self.recorded()

    def recorded(self) -> dict[str, str]:
        """Return image → full name of the version built last."""
        try:
            text = self.paths.images_json.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        return {str(name): str(reference) for name, reference in json.loads(text).items()}

    def _build_one(self, spec: ImageSpec) -> str:
        with tempfile.TemporaryDirectory(prefix="context-", dir=self.paths.images) as folder:
            context = Path(folder)
            copy_inputs(spec, REPOSITORY, context)
            reference = f"{spec.repository}:{content_hash(context)}"
            if self._exists(reference):
                return reference
            with step(f"building {reference}"):
                if self.use_docker:
                    run(docker_command(spec, reference, context, _bundle()))
                else:
                    self._buildah(spec, reference, context)
        return reference

    def _exists(self, reference: str) -> bool:
        if self.use_docker:
            return succeeds(["docker", "image", "inspect", reference])
        return reference in self.layout.references()

    def _buildah(self, spec: ImageSpec, reference: str, context: Path) -> None:
        if os.geteuid() != 0:
            raise KubeToolError("without Docker, images are built as root: run it as root")
        storage = self._storage()
        self._ensure_base(storage)
        run(buildah_command(storage, spec, reference, context, _bundle()))
        # An uncompressed blob is named by its content, so skopeo copies only new blobs.
        source = f"containers-storage:[overlay@{storage[1]}+{storage[3]}]{reference}"
        target = f"oci:{self.layout.folder}:{reference}"
        run(["skopeo", "copy", "--quiet", "--dest-oci-accept-uncompressed-layers", source, target])
        for old in self.layout.prune(spec.repository, KEEP_VERSIONS):
            # The removal of the name also removes the build steps that only this version used.
            succeeds(["buildah", *storage, "rmi", old])

    def _storage(self) -> list[str]:
        """Return the options for our own image storage, so that the machine's storage stays
        unchanged."""
        root, run_root = self.paths.images / "storage", self.paths.images / "storage-run"
        return ["--root", str(root), "--runroot", str(run_root)]

    def _ensure_base(self, storage: Sequence[str]) -> None:
        buildah = ["buildah", *storage]
        if succeeds([*buildah, "inspect", "--type", "image", BASE_IMAGE]):
            return
        archive = self.paths.images / f"base-{SUITE}.tar"
        if not archive.exists():
            with step(f"making a Debian {SUITE} base"):
                temporary = archive.with_suffix(".tmp.tar")
                options = ["--variant=minbase", "--include=ca-certificates", "--quiet"]
                run(["mmdebstrap", *options, SUITE, temporary])
                temporary.replace(archive)
        container = run([*buildah, "from", "scratch"]).strip()
        try:
            run([*buildah, "add", "--quiet", container, archive])
            run([*buildah, "config", "--cmd", "/bin/bash", container])
            run([*buildah, "commit", "--quiet", container, BASE_IMAGE])
        finally:
            run([*buildah, "rm", container])

    def _record(self, name: str, reference: str) -> None:
        say(f"{name}={reference}")
        record = {**self.recorded(), name: reference}
        replace(self.paths.images_json, json.dumps(record, indent=2) + "\n")
