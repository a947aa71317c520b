"""The cache of binaries: what counts as built, and Kubernetes' staging modules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.kube import dns
from tests.kube.bare import BareCluster
from tests.kube.binaries import DEFAULT, RECIPES, Binaries, Recipe, build, replace_directives
from tests.kube.errors import KubeToolError
from tests.kube.go_build import Program
from tests.kube.layout import nodes
from tests.kube.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "cache", tmp_path / "state")


def test_only_in_tree_replacements_become_versions() -> None:
    go_mod = {
        "Replace": [
            {"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}},
            {"Old": {"Path": "example.com/fork"}, "New": {"Path": "example.com/other"}},
        ]
    }
    assert replace_directives(go_mod, "v0.35.4") == ["k8s.io/api => k8s.io/api v0.35.4"]


def test_a_module_without_replacements_needs_none() -> None:
    assert replace_directives({}, "v0.35.4") == []


def test_kubernetes_is_told_its_version() -> None:
    flags = RECIPES["kubernetes"].ldflags
    assert "-X k8s.io/component-base/version.gitVersion=v1.35.4" in flags
    assert RECIPES["kubernetes"].staging_version == "v0.35.4"


def test_a_binary_is_missing_until_its_file_is_there(paths: Paths) -> None:
    binaries = Binaries(paths)
    assert [binary for _, binary in binaries.missing(["etcd"])] == ["etcd"]
    with pytest.raises(KubeToolError, match="etcd is not built; run: python3"):
        binaries.path("etcd")
    target = RECIPES["etcd"].folder(paths) / "etcd"
    target.parent.mkdir(parents=True)
    target.touch()
    assert binaries.missing(["etcd"]) == []
    assert binaries.path("etcd") == target


def test_one_binary_of_a_recipe_can_be_asked_for(paths: Paths) -> None:
    missing = Binaries(paths).missing(["kubernetes"], only={"kubectl"})
    assert [binary for _, binary in missing] == ["kubectl"]


def test_what_shares_packages_is_built_together() -> None:
    """One compilation of Kubernetes' libraries instead of four."""
    together = [name for name in DEFAULT if RECIPES[name].module_name == "cluster"]
    assert together == list(DEFAULT)
    programs = [
        Program(binary, package)
        for name in DEFAULT
        for binary, package in RECIPES[name].packages.items()
    ]
    names = [program.go_name for program in programs]
    assert len(set(names)) == len(names), "they go into one folder"


def test_coredns_has_the_plugins_that_the_cluster_uses_and_no_other() -> None:
    plugins = re.findall(r"coredns/plugin/([a-z]+)", RECIPES["coredns"].main_source)
    corefile = dns.corefile(nodes(1)[0], Path("/kubeconfig"))
    assert {*plugins} == {word for word in plugins if re.search(rf"^\s*{word}\b", corefile, re.M)}


def test_programs_of_one_module_cost_one_build(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[list[str]] = []

    def compile_all(programs: list[Program], *rest: Any) -> dict[str, Path]:
        built.append([program.name for program in programs])
        work = rest[1]
        for program in programs:
            (work / program.name).touch()
        return {program.name: work / program.name for program in programs}

    monkeypatch.setattr("tests.kube.binaries.compile_all", compile_all)
    monkeypatch.setattr("tests.kube.binaries.require_go", lambda: None)
    monkeypatch.setattr(
        "tests.kube.binaries._prepare", lambda recipes, work: work.mkdir(parents=True)
    )
    build(paths, ["kubernetes", "etcd", "coredns", "helm", "versitygw"], only=None)
    assert [len(each) for each in built] == [9, 1]
    build(paths)
    assert len(built) == 2, "all of it is there"


def test_helm_and_kubectl_are_built_only_where_the_path_has_none_that_fits(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []
    monkeypatch.setattr("tests.kube.binaries.build", lambda *_, only, stop: asked.append({*only}))
    monkeypatch.setattr("tests.kube.tools.on_path", lambda tool: f"/usr/bin/{tool}")
    BareCluster(paths).prepare()
    monkeypatch.setattr("tests.kube.tools.on_path", lambda tool: None)
    BareCluster(paths).prepare()
    assert asked[1] - asked[0] == {"helm", "kubectl"}
    assert {"kubelet", "etcd", "coredns"} <= asked[0]


def test_another_main_package_is_another_folder(paths: Paths) -> None:
    def folder(source: str) -> Path:
        return Recipe("dns", "m", "v1", {"dns": "."}, main_source=source).folder(paths)

    assert folder("package main") != folder("package main // changed")


def test_an_unknown_recipe_is_named(paths: Paths) -> None:
    with pytest.raises(KubeToolError, match="no recipe named 'etdc'"):
        build(paths, ["etdc"])
