"""Tiny images, built without an image tool: docker-archives written with ``tarfile``.

The pause image holds every pod's sandbox open; the tools image is busybox, for tests that need
a shell, ``nslookup``, ``wget`` or a web server.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.kube.commands import run
from tests.kube.containerd import PAUSE_IMAGE
from tests.kube.errors import KubeToolError
from tests.kube.paths import Paths

__all__ = ["PAUSE_SOURCE", "TOOLS_IMAGE", "archives", "write_archive"]

TOOLS_IMAGE = "localhost/sluice-tools:1"
BUSYBOX = Path("/bin/busybox")

#: Reaps the zombies of pods with a shared process namespace, and ends at SIGINT or SIGTERM.
PAUSE_SOURCE = """\
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void stop(int number) { (void)number; _exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) {
  signal(SIGINT, stop);
  signal(SIGTERM, stop);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
"""


def _layer(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    """Return a layer of executables and symbolic links; the same input gives the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in ("bin", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
        for name, target in sorted(links.items()):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return buffer.getvalue()


def write_archive(
    path: Path,
    reference: str,
    files: Mapping[str, bytes],
    *,
    links: Mapping[str, str] | None = None,
    entrypoint: Sequence[str] = (),
    command: Sequence[str] = (),
) -> None:
    """Write a one-layer image for this machine's processor as a docker-archive.

    Args:
        path: the archive to write; a rename makes it visible as a whole.
        reference: the image's name with its tag.
        files: path in the image → content of an executable.
        links: path in the image → target of a symbolic link.
        entrypoint: the image's entry point.
        command: the image's default arguments.
    """
    layer = _layer(files, links or {})
    machine = os.uname().machine
    config = json.dumps(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
            "os": "linux",
            "config": {
                "Entrypoint": list(entrypoint),
                "Cmd": list(command),
                "User": "65532:65532",
                "Env": ["PATH=/bin"],
            },
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"],
            },
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with tarfile.open(temporary, "w") as tar:
        for name, data in (
            ("layer.tar", layer),
            (config_name, config),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    temporary.replace(path)


def archives(paths: Paths) -> list[Path]:
    """Return the archives that every node gets before its first pod."""
    return [pause_archive(paths), tools_archive(paths)]


def pause_archive(paths: Paths) -> Path:
    """Return the archive of the pause image, which is compiled once into the cache."""
    archive = paths.images / "pause-1.tar"
    if not archive.exists():
        with tempfile.TemporaryDirectory() as folder:
            source, binary = Path(folder) / "pause.c", Path(folder) / "pause"
            source.write_text(PAUSE_SOURCE, encoding="ascii")
            run(["gcc", "-Os", "-static", "-s", "-o", binary, source])
            write_archive(
                archive, PAUSE_IMAGE, {"bin/pause": binary.read_bytes()}, entrypoint=["/bin/pause"]
            )
    return archive


def tools_archive(paths: Paths) -> Path:
    """Return the archive of the tools image: the machine's static busybox under all its names."""
    archive = paths.images / "tools-1.tar"
    if not archive.exists():
        if not BUSYBOX.exists():
            raise KubeToolError(f"no {BUSYBOX}; run: python3 -m tests.kube packages")
        applets = subprocess.run(
            [BUSYBOX, "--list"], capture_output=True, text=True, check=True
        ).stdout.split()
        links = {f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"}
        write_archive(
            archive,
            TOOLS_IMAGE,
            {"bin/busybox": BUSYBOX.read_bytes()},
            links=links,
            command=["/bin/sh"],
        )
    return archive
