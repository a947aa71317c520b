"""The tests of the page's modules that need no browser, and what its build makes."""

from __future__ import annotations

import gzip
import json
import re
import subprocess

from tests.support.player_page import SOURCES, built_page

KILOBYTE = 1_000


def test_the_modules_pass_their_own_tests() -> None:
    done = subprocess.run(["node", "--test"], cwd=SOURCES, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_file_names_no_server() -> None:
    """The server of packages is chosen by the npm that builds the page. The digests stay."""
    lock = (SOURCES / "package-lock.json").read_text("utf-8")
    assert "://" not in lock
    packages = {n: p for n, p in json.loads(lock)["packages"].items() if n}
    assert packages
    assert all(p["integrity"].startswith("sha512-") for p in packages.values())


def test_the_page_asks_only_for_its_own_files() -> None:
    page = built_page()
    html = (page / "index.html").read_text("utf-8")
    named = re.findall(r'(?:src|href)="([^"]+)"', html)
    own = [name for name in named if name.startswith("/_player/")]
    assert set(named) - set(own) == {"info.json", "data:,"}
    for name in own:
        file = page / name.removeprefix("/_player/")
        assert re.fullmatch(r"[a-z]+-[A-Z0-9]{8}\.(js|css)", file.name), "may be cached for ever"
        assert gzip.decompress(file.with_name(f"{file.name}.gz").read_bytes()) == file.read_bytes()
    assert "default-src 'self'" in html
    assert not re.search(r"\son[a-z]+=|javascript:", html), "the policy refuses inline code"


def test_the_page_is_small() -> None:
    """The 360° part is as large as the half of the rest, so it is not in the page."""
    page = built_page()
    html = (page / "index.html").read_text("utf-8")
    own = {f"{n}.gz" for n in re.findall(r'"/_player/([^"]+)"', html)}
    first = sum((page / name).stat().st_size for name in own)
    assert first <= 240 * KILOBYTE
    [sphere] = page.glob("sphere-*.js.gz")
    assert sphere.name not in own
    assert sphere.stat().st_size <= 145 * KILOBYTE
    for name in ("hls.js", "media-chrome", "three"):
        assert f"{name} " in (page / "licences.txt").read_text("utf-8")
