"""Loader of images into the nodes of the bare cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from tests.kube import containerd
from tests.kube.commands import run
from tests.kube.console import say, step
from tests.kube.errors import KubeToolError
from tests.kube.image_store import Layout
from tests.kube.layout import Node
from tests.kube.paths import Paths

__all__ = ["load_archives", "load_images", "surplus"]

#: Maximum versions of an image on a node. Of more versions, the unused ones are removed.
KEEP_ON_NODE = 10


def load_archives(paths: Paths, nodes: Sequence[Node], archives: Iterable[Path]) -> None:
    """Import docker-archives (or oci-archives with a name) on every node."""
    for archive in archives:
        if not archive.is_file():
            raise KubeToolError(f"no such archive: {archive}")
        for node in nodes:
            with step(f"loading {archive.name} on {node.name}"):
                run([*containerd.ctr(paths, node), "images", "import", str(archive)])


def load_images(
    paths: Paths, nodes: Sequence[Node], layout: Layout, references: Sequence[str]
) -> None:
    """Copy images of the cache to every node that lacks them. Only missing blobs are sent."""
    for node in nodes:
        ctr = containerd.ctr(paths, node)
        have = run([*ctr, "images", "list", "--quiet"]).split()
        for reference in references:
            if reference in have:
                say(f"{node.name} has {reference}")
                continue
            with step(f"loading {reference} on {node.name}"):
                present = set(run([*ctr, "content", "list", "--quiet"]).split())
                size = _import(ctr, layout, reference, present)
            say(f"sent {size / 1e6:.1f} MB")
        repositories = {reference.rpartition(":")[0] for reference in references}
        _prune(ctr, layout.references(), repositories)


def _import(ctr: Sequence[str], layout: Layout, reference: str, present: set[str]) -> int:
    process = subprocess.Popen(
        [*ctr, "images", "import", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        size = layout.write_archive(reference, present, process.stdin)
        process.stdin.close()
    except BrokenPipeError:
        size = 0
    output = process.stdout.read().decode("utf-8", errors="replace")
    if process.wait() != 0:
        raise KubeToolError(f"containerd refused {reference}: {output.strip()[-1000:]}")
    return size


def surplus(
    listing: str, used: set[str], cached: Collection[str], repositories: Collection[str]
) -> list[str]:
    """Return the names of images that neither the cache nor a container needs.

    Args:
        listing: output of ``ctr images list``.
        used: names of the images of running containers.
        cached: names of images in the cache.
        repositories: repositories of the images to check; other images always stay.
    """
    rows = [line.split() for line in listing.splitlines()[1:] if line.strip()]
    digests = {row[0]: row[2] for row in rows}
    ours = [name for name in digests if name.rpartition(":")[0] in repositories]
    if len(ours) <= KEEP_ON_NODE * len(repositories):
        return []
    unneeded = {digests[name] for name in ours if name not in used and name not in cached}
    unneeded -= {digests[name] for name in ours if name in used or name in cached}
    # The same image is also listed under its configuration's digest, which keeps its blobs.
    return [name for name, digest in digests.items() if digest in unneeded]


def _prune(ctr: Sequence[str], cached: Collection[str], repositories: Collection[str]) -> None:
    listing = run([*ctr, "images", "list"])
    containers = run([*ctr, "containers", "list"]).splitlines()[1:]
    used = {line.split()[1] for line in containers if len(line.split()) > 1}
    for name in surplus(listing, used, cached, repositories):
        run([*ctr, "images", "remove", name])
