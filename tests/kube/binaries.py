"""Kubernetes itself, built from the Go module proxy into the cache.

In: a Go toolchain and nothing else. Out: ``<cache>/bin/<recipe>-<version>/<binary>``, each put in
place by one rename, so a half-finished build is never taken for a finished one. Cold, this costs
about eleven minutes of one core; warm, a look at a few files.
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
"""Recipes whose programs are built together, as one module: of 235 MB of source that they compile
each by itself, 116 MB are left. Helm and CoreDNS are the versions that were released against the
libraries of this very Kubernetes; newer ones would bring other libraries into it."""

#: CoreDNS with the plugins this cluster uses. The stock main package links every cloud's SDK
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
    """How one module becomes one or more binaries."""

    name: str
    module: str
    version: str
    packages: Mapping[str, str]
    """Binary name → Go package. The package ``./<recipe>`` is ``main_source``."""
    ldflags: Sequence[str] = ()
    staging_version: str = ""
    """Set for Kubernetes: the version that replaces its in-tree staging modules."""
    main_source: str = ""
    group: str = ""
    """Recipes with the same one are built as one module; empty: this one alone."""

    @property
    def module_name(self) -> str:
        """What the module is called that it is built in."""
        return self.group or self.name

    def folder(self, paths: Paths) -> Path:
        """Where this version's binaries end up; another main package is another version."""
        digest = hashlib.sha256(self.main_source.encode()).hexdigest()[:8]
        suffix = f"-{digest}" if self.main_source else ""
        return paths.binaries / f"{self.name}-{self.version}{suffix}"


def _kubernetes_ldflags() -> list[str]:
    # Without these the API server reports v0.0.0 and clients misbehave.
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

#: What a cluster needs; the rest is built when somebody asks for it by name.
DEFAULT = ("kubernetes", "etcd", "coredns", "helm")


@dataclass(frozen=True, slots=True)
class Binaries:
    """Looks binaries up in the cache."""

    paths: Paths

    def path(self, binary: str) -> Path:
        """The path of a built binary.

        Raises:
            KubeToolError: nobody built it yet.
        """
        path = self._expected(binary)
        if not path.exists():
            raise KubeToolError(f"{binary} is not built; run: python3 -m tests.kube binaries")
        return path

    def missing(
        self, recipes: Sequence[str], only: Collection[str] | None = None
    ) -> list[tuple[Recipe, str]]:
        """What these recipes promise and the cache lacks, in building order.

        Args:
            recipes: names of recipes.
            only: binaries to look at; all of the recipes' when absent.
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

    Kubernetes publishes each staging module under its own name, so building outside its tree
    needs nothing but these lines.

    Args:
        go_mod: what ``go mod edit -json`` prints.
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
    """Build what is missing; returns at once when nothing is.

    Args:
        paths: where the cache is.
        recipes: names of recipes.
        only: binaries to build; all of the recipes' when absent.
        stop: ends the build early when set.

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
    """Build the binaries of one module and put each in its place."""
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
