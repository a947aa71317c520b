"""Draw ``docs/rooms.svg``: the packages of both planes, and their imports.

The layers come from ``.importlinter``, the imports from the source. An arrow is left out when a
longer way of arrows says the same. ``--check`` fails when the file differs from the source.

Usage: ``python -m tests.verify.rooms [--check]``
"""

from __future__ import annotations

import ast
import configparser
import html
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "rooms.svg"
PLANES = {
    "sluice_operator": (ROOT / "operator/src/sluice_operator", "operator-layers"),
    "sluice_media": (ROOT / "images/media/src/sluice_media", "media-layers"),
}
_BOX_WIDTH, _BOX_HEIGHT, _GAP, _LAYER = 104, 40, 14, 92
_MARGIN, _TITLE = 30, 50

Edges = Mapping[str, set[str]]


def layers(contract: str) -> list[list[str]]:
    """Return the rooms of a plane, from the top layer to the lowest."""
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    lines = config[f"importlinter:contract:{contract}"]["layers"].split("\n")
    found = [[room.strip() for room in line.split("|")] for line in lines if line.strip()]
    return [layer for layer in found if layer != ["__main__"]]


def imports(package: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (importing room, imported room) for every import between two rooms."""
    for path in folder.rglob("*.py"):
        room = path.relative_to(folder).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.module is None:
                continue
            parts = [*node.module.split("."), *(alias.name for alias in node.names[:1])]
            if parts[0] == package and parts[1] != room:
                yield room, parts[1]


def count_modules(folder: Path, room: str) -> int:
    """Return the number of modules in a room."""
    return sum(1 for _ in (folder / room).rglob("*.py")) or 1


def reduced(edges: Edges) -> dict[str, set[str]]:
    """Return the edges without those that a longer way replaces."""

    def reachable(start: str) -> set[str]:
        found: set[str] = set()
        todo = [*edges.get(start, ())]
        while todo:
            room = todo.pop()
            if room not in found:
                found.add(room)
                todo += edges.get(room, ())
        return found

    return {
        room: {
            target
            for target in targets
            if not any(target in reachable(other) for other in targets if other != target)
        }
        for room, targets in edges.items()
    }


def draw() -> str:
    """Return the picture as SVG."""
    shapes: list[str] = []
    left = _MARGIN
    height = 0
    for package, (folder, contract) in PLANES.items():
        rows = layers(contract)
        edges: dict[str, set[str]] = defaultdict(set)
        for room, target in imports(package, folder):
            edges[room].add(target)
        width = max(len(row) for row in rows) * (_BOX_WIDTH + _GAP) - _GAP
        places = {
            room: (
                left + (width - len(row) * (_BOX_WIDTH + _GAP) + _GAP) // 2
                + index * (_BOX_WIDTH + _GAP),
                _TITLE + _MARGIN + level * _LAYER,
            )
            for level, row in enumerate(rows)
            for index, room in enumerate(row)
        }  # fmt: skip
        shapes.append(f'<text class="title" x="{left}" y="{_TITLE}">{package}</text>')
        shapes += _arrows(reduced(edges), places)
        shapes += _boxes(folder, places)
        height = max(height, _TITLE + _MARGIN + len(rows) * _LAYER)
        left += width + 3 * _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left}" height="{height}" '
        f'viewBox="0 0 {left} {height}" font-family="sans-serif" font-size="13">\n'
        "<style>.box{fill:#eef3fb;stroke:#33507a}.title{font-size:18px;font-weight:bold}"
        ".n{font-size:10px;fill:#555}.arrow{stroke:#8094b3;stroke-width:1.2;fill:none}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#8094b3"/>'
        "</marker></defs>\n"
        '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )


def _boxes(folder: Path, places: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    for room, (x, y) in places.items():
        modules = count_modules(folder, room)
        middle = x + _BOX_WIDTH // 2
        unit = "module" if modules == 1 else "modules"
        yield (
            f'<rect class="box" x="{x}" y="{y}" '
            f'width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6"/>'
            f'<text x="{middle}" y="{y + 18}" text-anchor="middle">{html.escape(room)}</text>'
            f'<text class="n" x="{middle}" y="{y + 32}" text-anchor="middle">'
            f"{modules} {unit}</text>"
        )


def _arrows(edges: Edges, places: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    for room, targets in sorted(edges.items()):
        for target in sorted(targets):
            if room not in places or target not in places:
                continue
            (x1, y1), (x2, y2) = places[room], places[target]
            start = (x1 + _BOX_WIDTH // 2, y1 + _BOX_HEIGHT)
            end = (x2 + _BOX_WIDTH // 2, y2)
            bend = (start[1] + end[1]) // 2
            yield (
                f'<path class="arrow" marker-end="url(#tip)" d="M{start[0]},{start[1]} '
                f'C{start[0]},{bend} {end[0]},{bend} {end[0]},{end[1]}"/>'
            )


def main(arguments: list[str]) -> int:
    """Write the picture, or compare it with ``--check``; return the exit code."""
    picture = draw()
    if "--check" not in arguments:
        PICTURE.write_text(picture, encoding="utf-8")
        return 0
    if PICTURE.read_text(encoding="utf-8") == picture:
        return 0
    print("docs/rooms.svg differs from the imports: run make rooms")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
