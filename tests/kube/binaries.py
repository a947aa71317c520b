"""Kubernetes itself, built from the Go module proxy into the cache.

In: a Go toolchain. Out: ``<cache>/bin/<recipe>-<version>/<binary>``. Each binary gets its name by a
rename, so an unfinished build is never used. A build with an empty cache takes about eleven minutes
of one core; with a full cache, only a few files are checked.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kube.console import bar, board, say, time_left
from tests.kube.errors import KubeToolError
from tests.kube.go_build import MINIMUM_GO, Program, compile_all, go, require_go
from tests.kube.locking import exclusive
from tests.kube.paths import Paths

__all__ = ["DEFAULT", "RECIPES", "Binaries", "Recipe", "build", "replace_directives"]

KUBERNETES_VERSION = "v1.35.4"
CLUSTER = "cluster"
"""Group of the recipes whose programs are built together, as one module: 116 MB of source are
compiled, and not 235 MB as in separate builds. Helm and CoreDNS have the versions that were
released with the libraries of this Kubernetes version; newer ones would change these libraries."""

#: CoreDNS with the plugins of this cluster. The stock main package links every cloud's SDK
#: and takes twice as long to build.
COREDNS_MAIN = """\
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() { coremain.Run() }
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The build of one Go module: its version and its binaries."""

    name: str
    module: str
    version: str
    packages: Mapping[str, str]
    """Binary name → Go package. The package ``./<recipe>`` is ``main_source``."""
    ldflags: Sequence[str] = ()
    staging_version: str = ""
    """Version that replaces the in-tree staging modules of Kubernetes; empty for other modules."""
    main_source: str = ""
    group: str = ""
    """Name of the group that is built as one module; empty: this recipe is built alone."""

    @property
    def module_name(self) -> str:
        """Name of the module in which the recipe is built."""
        return self.group or self.name

    def folder(self, paths: Paths) -> Path:
        """Return the folder for the binaries of this version. Another main package gives another
        version."""
        digest = hashlib.sha256(self.main_source.encode()).hexdigest()[:8]
        suffix = f"-{digest}" if self.main_source else ""
        return paths.binaries / f"{self.name}-{self.version}{suffix}"


def _kubernetes_ldflags() -> list[str]:
    # Without these flags the API server reports v0.0.0, and clients fail.
    major, minor = KUBERNETES_VERSION.removeprefix("v").split(".")[:2]
    values = {
        "gitVersion": KUBERNETES_VERSION,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
    }
    return [
        f"-X {package}.{key}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for key, value in values.items()
    ]


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "kubernetes",
            "k8s.io/kubernetes",
            KUBERNETES_VERSION,
            {
                name: f"k8s.io/kubernetes/cmd/{name}"
                for name in (
                    "kube-apiserver",
                    "kubelet",
                    "kube-controller-manager",
                    "kube-scheduler",
                    "kube-proxy",
                    "kubectl",
                )
            },
            ldflags=_kubernetes_ldflags(),
            staging_version=KUBERNETES_VERSION.replace("v1.", "v0.", 1),
            group=CLUSTER,
        ),
        Recipe(
            "etcd",
            "go.etcd.io/etcd/server/v3",
            "v3.6.8",
            {"etcd": "go.etcd.io/etcd/server/v3"},
            group=CLUSTER,
        ),
        Recipe(
            "coredns",
            "github.com/coredns/coredns",
            "v1.14.2",
            {"coredns": "./coredns"},
            main_source=COREDNS_MAIN,
            group=CLUSTER,
        ),
        Recipe(
            "helm",
            "helm.sh/helm/v4",
            "v4.1.4",
            {"helm": "helm.sh/helm/v4/cmd/helm"},
            ldflags=["-X helm.sh/helm/v4/internal/version.version=v4.1.4"],
            group=CLUSTER,
        ),
        Recipe(
            "kind",
            "sigs.k8s.io/kind",
            "v0.33.0",
            {"kind": "sigs.k8s.io/kind"},
        ),
        Recipe(
            "versitygw",
            "github.com/versity/versitygw",
            "v1.8.0",
            {"versitygw": "github.com/versity/versitygw/cmd/versitygw"},
        ),
    )
}

#: Recipes that a cluster needs. The others are built only on request.
DEFAULT = ("kubernetes", "etcd", "coredns", "helm")


@dataclass(frozen=True, slots=True)
class Binaries:
    """The built binaries in the cache."""

    paths: Paths

    def path(self, binary: str) -> Path:
        """Return the path of a built binary.

        Raises:
            KubeToolError: the binary is not built yet.
        """
        path = self._expected(binary)
        if not path.exists():
            raise KubeToolError(f"{binary} is not built; run: python3 -m tests.kube binaries")
        return path

    def missing(
        self, recipes: Sequence[str], only: Collection[str] | None = None
    ) -> list[tuple[Recipe, str]]:
        """Return the binaries of these recipes that the cache lacks, in build order.

        Args:
            recipes: names of recipes.
            only: binaries to check; absent: all binaries of the recipes.
        """
        return [
            (RECIPES[name], binary)
            for name in recipes
            for binary in RECIPES[name].packages
            if (only is None or binary in only)
            and not (RECIPES[name].folder(self.paths) / binary).exists()
        ]

    def _expected(self, binary: str) -> Path:
        for recipe in RECIPES.values():
            if binary in recipe.packages:
                return recipe.folder(self.paths) / binary
        raise KubeToolError(f"no recipe builds {binary!r}")


def replace_directives(go_mod: Mapping[str, object], version: str) -> list[str]:
    """Turn a module's ``replace X => ./staging/…`` lines into versions from the proxy.

    Kubernetes publishes each staging module under its own name, so a build outside its tree needs
    only these lines.

    Args:
        go_mod: output of ``go mod edit -json``.
        version: the staging modules' version, e.g. ``v0.35.4``.
    """
    replaces = go_mod.get("Replace") or []
    assert isinstance(replaces, list)
    names = [
        entry["Old"]["Path"]
        for entry in replaces
        if str(entry["New"]["Path"]).startswith("./staging/")
    ]
    return [f"{name} => {name} {version}" for name in names]


def build(
    paths: Paths,
    recipes: Sequence[str] = DEFAULT,
    only: Collection[str] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Build the missing binaries. Return at once if none is missing.

    Args:
        paths: paths of the cache.
        recipes: names of recipes.
        only: binaries to build; absent: all binaries of the recipes.
        stop: event that ends the build early.

    Raises:
        KubeToolError: unknown recipe, no usable Go, or a build that failed (with its output).
    """
    for name in recipes:
        if name not in RECIPES:
            raise KubeToolError(f"no recipe named {name!r}; known: {', '.join(RECIPES)}")
    binaries = Binaries(paths)
    if not binaries.missing(recipes, only):
        return
    require_go()
    with exclusive(paths.binaries / ".lock", "building binaries"):
        modules: dict[str, list[tuple[Recipe, str]]] = {}
        for recipe, binary in binaries.missing(recipes, only):
            modules.setdefault(recipe.module_name, []).append((recipe, binary))
        folder = tempfile.TemporaryDirectory(prefix="build-", dir=paths.binaries)
        with folder as work, board.going():
            for name, wanted in modules.items():
                _build_module(paths, Path(work) / name, wanted, stop or threading.Event())


def _build_module(
    paths: Paths, work: Path, wanted: Sequence[tuple[Recipe, str]], stop: threading.Event
) -> None:
    """Build the binaries of one module and move each to its folder."""
    names = ", ".join(f"{binary} {recipe.version}" for recipe, binary in wanted)
    say(f"building {names} …")
    started = time.monotonic()
    recipes = [RECIPES[name] for name in dict.fromkeys(recipe.name for recipe, _ in wanted)]
    board.put("programs", "fetching the sources")
    try:
        _prepare(recipes, work)
        programs = [Program(binary, recipe.packages[binary]) for recipe, binary in wanted]
        flags = [flag for recipe in recipes for flag in recipe.ldflags]
        built = compile_all(programs, flags, work, _report, stop)
    finally:
        board.drop("programs")
    for recipe, binary in wanted:
        target = recipe.folder(paths) / binary
        target.parent.mkdir(parents=True, exist_ok=True)
        built[binary].replace(target)
    say(f"built {len(wanted)} programs in {time.monotonic() - started:.0f} s")


def _report(share: float, seconds: float) -> None:
    left = time_left(share, seconds)
    board.put("programs", f"{bar(share)}{f', {left}' if left else ''}")


def _prepare(recipes: Sequence[Recipe], work: Path) -> None:
    """Make a module of our own that requires the recipes' packages at their versions."""
    work.mkdir(parents=True)
    lines = ["module sluice.local/build", "", f"go {'.'.join(map(str, MINIMUM_GO))}", ""]
    for recipe in recipes:
        if recipe.staging_version:
            source = f"{recipe.module}@{recipe.version}"
            info = json.loads(go(["mod", "download", "-json", source], work))
            go_mod = json.loads(go(["mod", "edit", "-json", info["GoMod"]], work))
            replaces = replace_directives(go_mod, recipe.staging_version)
            lines += ["replace (", *(f"\t{line}" for line in replaces), ")", ""]
    (work / "go.mod").write_text("\n".join(lines), encoding="utf-8")
    needed: list[str] = []
    for recipe in recipes:
        if recipe.main_source:
            (work / recipe.name).mkdir()
            (work / recipe.name / "main.go").write_text(recipe.main_source, encoding="utf-8")
            needed.append(f"{recipe.module}@{recipe.version}")
        else:
            needed += [f"{package}@{recipe.version}" for package in recipe.packages.values()]
    go(["get", *needed], work)
