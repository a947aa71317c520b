"""The documentation says what the schema says: no field is missing, none is promised."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.kube.paths import REPOSITORY

DOCS = REPOSITORY / "docs"
README = REPOSITORY / "README.md"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
KINDS = ("livestream", "recording", "restream", "mediastore")
PARSER = MarkdownIt("commonmark").enable("table")
"""GitHub's tables: a blank line ends one, and what follows is a paragraph with pipes."""


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


def first_column(text: str) -> Iterator[Token]:
    """Yield the first cell of each row below the heads of all tables."""
    tokens = PARSER.parse(text)
    for before, token, cell in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (before.type, token.type) == ("tr_open", "td_open"):
            yield cell


def first_cells(text: str) -> Iterator[str]:
    """The code in the first column of all tables; ``.key`` continues the word before it."""
    for cell in first_column(text):
        before = ""
        for word in (part.content for part in cell.children or () if part.type == "code_inline"):
            before = f"{before.rpartition('.')[0]}{word}" if word.startswith(".") else word
            yield before


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_row_belongs_to_a_table(page: Path) -> None:
    inlines = [token for token in PARSER.parse(page.read_text("utf-8")) if token.type == "inline"]
    torn = [token.content for token in inlines if token.content.startswith("|")]
    assert torn == [], "a blank line or a missing head cuts the table before this row"


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


def test_every_field_of_playback_is_explained() -> None:
    text = section((DOCS / "playback.md").read_text("utf-8"), "Spec, field by field")
    table = set(first_cells(text))
    fields = set(paths(schema("livestream")["spec"]["properties"]["playback"]))
    assert table <= fields, "promised, but not in the schema"
    leaves = {f for f in fields if not any(other.startswith(f"{f}.") for other in fields)}
    assert {f for f in leaves if not f.startswith("workload.")} <= table


def test_the_page_about_playback_has_its_parts_in_order() -> None:
    titles = re.findall(r"^## (.*)$", (DOCS / "playback.md").read_text("utf-8"), re.MULTILINE)
    assert titles == [
        "Example",
        "Spec, field by field",
        "Working with playback",
        "Status",
        "Metrics",
        "What happens when …",
        "Debugging",
    ]


def test_every_metric_of_playback_is_explained() -> None:
    table = first_cells(section((DOCS / "playback.md").read_text("utf-8"), "Metrics"))
    edge = (REPOSITORY / "images/edge/lua/metrics.lua").read_text("utf-8")
    play = (REPOSITORY / "images/media/src/sluice_media/play/metrics.py").read_text("utf-8")
    counters = re.findall(r'Counter\(\s*"(\w+)"', play)
    named = {f"{name}_total" for name in counters}
    named |= set(re.findall(r'"(sluice_\w+)"', play)) - set(counters)
    named |= set(re.findall(r'"(sluice_edge_[a-z_]+)"', edge))
    assert sorted(table) == sorted(named)


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


@pytest.mark.parametrize("page", [README, DOCS / "livestream.md"], ids=lambda p: p.name)
def test_the_condition_live_and_the_field_live_are_told_apart_where_they_are_first_used(
    page: Path,
) -> None:
    tokens = PARSER.parse(page.read_text("utf-8"))
    first = next(n for n, token in enumerate(tokens) if "condition=Live" in token.content)
    near = " ".join(token.content for token in tokens[first : first + 6])
    assert "condition `Live`" in near.replace("Condition", "condition")
    assert "`status.live`" in near


def test_the_readme_says_how_every_session_is_recorded() -> None:
    cells = set(first_cells(section(README.read_text("utf-8"), "Coming from Gcore")))
    assert "auto_record" in cells
    assert "autoRecord" in section(README.read_text("utf-8"), "Three kinds")
