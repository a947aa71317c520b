"""Kubernetes itself, built from the Go module proxy into the cache.

In: a Go toolchain and nothing else. Out: ``<cache>/bin/<recipe>-<version>/<binary>``, each put in
place by one rename, so a half-finished build is never taken for a finished one. Cold, this costs
about eight minutes of two cores; warm, a look at a few files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kube.console import say
from tests.kube.errors import KubeToolError
from tests.kube.locking import exclusive
from tests.kube.paths import Paths

__all__ = ["DEFAULT", "RECIPES", "Binaries", "Recipe", "build", "replace_directives"]

KUBERNETES_VERSION = "v1.35.4"
MINIMUM_GO = (1, 26)

#: CoreDNS with the plugins this cluster uses. The stock main package links every cloud's SDK
#: and takes twice as long to build.
COREDNS_MAIN = """\
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/log"
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
    """Binary name → Go package. The package ``.`` is ``main_source``."""
    ldflags: Sequence[str] = ()
    staging_version: str = ""
    """Set for Kubernetes: the version that replaces its in-tree staging modules."""
    main_source: str = ""

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
        ),
        Recipe(
            "etcd",
            "go.etcd.io/etcd/server/v3",
            "v3.6.5",
            {"etcd": "go.etcd.io/etcd/server/v3"},
        ),
        Recipe(
            "coredns",
            "github.com/coredns/coredns",
            "v1.15.0",
            {"coredns": "."},
            main_source=COREDNS_MAIN,
        ),
        Recipe(
            "helm",
            "helm.sh/helm/v4",
            "v4.3.1",
            {"helm": "helm.sh/helm/v4/cmd/helm"},
            ldflags=["-X helm.sh/helm/v4/internal/version.version=v4.3.1"],
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
    paths: Paths, recipes: Sequence[str] = DEFAULT, only: Collection[str] | None = None
) -> None:
    """Build what is missing; returns at once when nothing is.

    Args:
        paths: where the cache is.
        recipes: names of recipes.
        only: binaries to build; all of the recipes' when absent.

    Raises:
        KubeToolError: unknown recipe, no usable Go, or a build that failed (with its output).
    """
    for name in recipes:
        if name not in RECIPES:
            raise KubeToolError(f"no recipe named {name!r}; known: {', '.join(RECIPES)}")
    binaries = Binaries(paths)
    if not binaries.missing(recipes, only):
        return
    _require_go()
    with exclusive(paths.binaries / ".lock", "building binaries"):
        missing = binaries.missing(recipes, only)
        modules: dict[str, Path] = {}
        with tempfile.TemporaryDirectory(prefix="build-", dir=paths.binaries) as work:
            for index, (recipe, binary) in enumerate(missing, 1):
                started = time.monotonic()
                say(f"building {binary} {recipe.version} ({index} of {len(missing)}) …")
                if recipe.name not in modules:
                    modules[recipe.name] = _prepare(recipe, Path(work) / recipe.name)
                _compile(recipe, binary, modules[recipe.name], paths)
                say(f"built {binary} in {time.monotonic() - started:.0f} s")


def _require_go() -> None:
    if shutil.which("go") is None:
        raise KubeToolError(f"no Go toolchain found; install Go {_dotted(MINIMUM_GO)} or newer")
    text = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"go(\d+)\.(\d+)", text)
    if match is None or (int(match[1]), int(match[2])) < MINIMUM_GO:
        raise KubeToolError(f"Go {_dotted(MINIMUM_GO)} or newer is needed, found: {text.strip()}")


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _prepare(recipe: Recipe, work: Path) -> Path:
    """Make a module of our own that requires the recipe's packages at its version."""
    work.mkdir(parents=True)
    lines = ["module sluice.local/build", "", f"go {_dotted(MINIMUM_GO)}", ""]
    if recipe.staging_version:
        info = json.loads(
            _go(["mod", "download", "-json", f"{recipe.module}@{recipe.version}"], work)
        )
        go_mod = json.loads(_go(["mod", "edit", "-json", info["GoMod"]], work))
        replaces = replace_directives(go_mod, recipe.staging_version)
        lines += ["replace (", *(f"\t{line}" for line in replaces), ")", ""]
    (work / "go.mod").write_text("\n".join(lines), encoding="utf-8")
    if recipe.main_source:
        (work / "main.go").write_text(recipe.main_source, encoding="utf-8")
        _go(["get", f"{recipe.module}@{recipe.version}"], work)
        _go(["mod", "tidy"], work)
    else:
        _go(["get", *(f"{p}@{recipe.version}" for p in recipe.packages.values())], work)
    return work


def _compile(recipe: Recipe, binary: str, work: Path, paths: Paths) -> None:
    output = work / f"{binary}.built"
    ldflags = " ".join(["-s", "-w", *recipe.ldflags])
    package = recipe.packages[binary]
    _go(["build", "-mod=mod", "-trimpath", "-ldflags", ldflags, "-o", str(output), package], work)
    target = recipe.folder(paths) / binary
    target.parent.mkdir(parents=True, exist_ok=True)
    output.replace(target)


def _go(arguments: list[str], work: Path) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    result = subprocess.run(
        ["go", *arguments],
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        tail = result.stderr.strip()[-2000:]
        raise KubeToolError(f"go {arguments[0]} failed; is the Go module proxy reachable?\n{tail}")
    return result.stdout
