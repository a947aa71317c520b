"""helm, kubectl and kind: from the PATH if the version is suitable, and built into the cache if
not."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence

from tests.kube import binaries
from tests.kube.commands import run
from tests.kube.errors import KubeToolError
from tests.kube.paths import Paths

__all__ = ["TOOLS", "ensure", "fits", "locate", "on_path"]

Version = tuple[int, int]
_RECIPE = {"helm": "helm", "kubectl": "kubernetes", "kind": "kind"}
TOOLS = tuple(_RECIPE)
_MINOR = binaries.RECIPES["kubernetes"].version.split(".")[1]
#: kubectl may be one minor version away from the API server (Kubernetes' version skew policy); the
#: demo installs with options that Helm has since 4.0.
_FITS: Mapping[str, Callable[[Version], bool]] = {
    "helm": lambda version: version[0] == 4,
    "kubectl": lambda version: version[0] == 1 and abs(version[1] - int(_MINOR)) <= 1,
    "kind": lambda version: version >= (0, 27),
}
_ASK = {
    "helm": ("version", "--template", "{{.Version}}"),
    "kubectl": ("version", "--client", "--output", "json"),
    "kind": ("version", "--quiet"),
}


def fits(tool: str, answer: str) -> bool:
    """Return whether a tool can be used, by the output of its version command."""
    text = answer
    if tool == "kubectl":
        try:
            text = str(json.loads(answer)["clientVersion"]["gitVersion"])
        except (ValueError, KeyError, TypeError):
            return False
    found = re.search(r"(\d+)\.(\d+)", text)
    return found is not None and _FITS[tool]((int(found[1]), int(found[2])))


def on_path(tool: str) -> str | None:
    """Return the path of an installed tool whose version fits."""
    found = shutil.which(tool)
    if found is None:
        return None
    try:
        answer = run([found, *_ASK[tool]], timeout=20)
    except KubeToolError:
        return None
    return found if fits(tool, answer) else None


def wanted(paths: Paths, names: Sequence[str]) -> list[str]:
    """Return the tools that must be built first."""
    missing = {binary for _, binary in binaries.Binaries(paths).missing([*_RECIPE.values()])}
    return [name for name in names if name in missing and on_path(name) is None]


def ensure(paths: Paths, names: Sequence[str], stop: threading.Event | None = None) -> None:
    """Build the tools that are neither in the cache nor on the PATH.

    Raises:
        KubeToolError: no Go, or a build that failed.
    """
    build = wanted(paths, names)
    if build:
        binaries.build(paths, [_RECIPE[name] for name in build], only=set(build), stop=stop)


def locate(paths: Paths, name: str) -> str:
    """Return the path of a tool. Build the tool if it is missing.

    Raises:
        KubeToolError: no Go, or a build that failed.
    """
    if found := on_path(name):
        return found
    ensure(paths, [name])
    return str(binaries.Binaries(paths).path(name))
