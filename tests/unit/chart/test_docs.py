"""The documentation says what the schema says: no field is missing, none is promised."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kube.paths import REPOSITORY

DOCS = REPOSITORY / "docs"
README = REPOSITORY / "README.md"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
KINDS = ("livestream", "recording", "restream", "mediastore")


def schema(kind: str) -> dict[str, Any]:
    file = REPOSITORY / "crds" / f"{kind}s.sluice.video.yaml"
    crd = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
    [version] = crd["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]
    return found


def paths(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Every field below a node, as ``a.b``; lists are looked into."""
    for name, child in node.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from paths(child.get("items", child), f"{prefix}{name}.")


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> Iterator[str]:
    """The code in the first column of all tables; ``.key`` continues the word before it."""
    for row in re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE):
        before = ""
        for word in re.findall(r"`([^`]+)`", row):
            before = f"{before.rpartition('.')[0]}{word}" if word.startswith(".") else word
            yield before


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_the_spec_is_explained(kind: str) -> None:
    table = set(
        first_cells(section((DOCS / f"{kind}.md").read_text("utf-8"), "Spec, field by field"))
    )
    fields = set(paths(schema(kind)["spec"]))
    assert table <= fields, "promised, but not in the schema"
    for field in fields:
        ancestors = [field[: m.start()] for m in re.finditer(r"\.", field)]
        below = any(other.startswith(f"{field}.") for other in table)
        assert field in table or below or table & set(ancestors), f"{field} is not explained"


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_the_status_is_explained(kind: str) -> None:
    text = section((DOCS / f"{kind}.md").read_text("utf-8"), "Status")
    fields = schema(kind)["status"]["properties"]
    for name in fields.keys() - {"conditions", "observedGeneration"}:
        assert f"`{name}" in text, f"status.{name} is not explained"


@pytest.mark.parametrize("kind", KINDS)
def test_pages_have_their_parts_in_order(kind: str) -> None:
    titles = re.findall(r"^## (.*)$", (DOCS / f"{kind}.md").read_text("utf-8"), re.MULTILINE)
    assert [t.split(" with ")[0] for t in titles] == [
        "Example",
        "Spec, field by field",
        "Working",
        "Status",
        "Debugging",
    ]


def test_the_readme_names_only_fields_that_exist() -> None:
    known = {
        f"{part}.{path}"
        for kind in KINDS
        for part, node in schema(kind).items()
        if part in {"spec", "status"}
        for path in paths(node)
    }
    named = set(re.findall(r"`((?:spec|status)\.[A-Za-z.]+)", README.read_text("utf-8")))
    # Lists are written with their brackets: status.files[].title.
    assert {name for name in named if name not in known} == set()


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^-\w ]", "", t.lower()).replace(" ", "-") for t in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"[`$] ?make ([a-z]+(?:-[a-z]+)*)", README.read_text("utf-8")))
    assert {"demo", "test"} <= named <= targets
