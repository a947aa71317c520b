"""The demo's browser: which one, and the sentence about what it has seen."""

from __future__ import annotations

import pytest

from tests.demo.console import DemoError
from tests.demo.watch import BROWSERS, CannotWatchError, Watched, find_browser, until_served

STATS = {
    "firstPictureSeconds": 1.24,
    "latencySeconds": 2.96,
    "stalls": 0,
    "stallSeconds": 0,
    "frames": 251,
    "screen": "picture",
}


@pytest.mark.parametrize("name", BROWSERS)
def test_any_browser_of_the_family_will_do(name: str) -> None:
    assert find_browser({name: f"/bin/{name}"}.get) == f"/bin/{name}"


def test_a_machine_without_a_browser_is_told_so() -> None:
    with pytest.raises(CannotWatchError, match="no Chromium and no Chrome"):
        find_browser(lambda _: None)


@pytest.mark.parametrize(
    ("stats", "want"),
    [
        ({}, "first picture after 1.2 s, 3.0 s behind live, no stall in 10 s"),
        (
            {"stalls": 2, "stallSeconds": 0.84},
            "first picture after 1.2 s, 3.0 s behind live, stalls: 2 (0.8 s) in 10 s",
        ),
        (
            {"latencySeconds": None},
            "first picture after 1.2 s, latency unknown, no stall in 10 s",
        ),
    ],
    ids=["smooth", "stalls", "a player of the system"],
)
def test_the_summary_has_latency_and_stalls(stats: dict[str, object], want: str) -> None:
    assert str(Watched.parse(10, STATS | stats)) == want


def test_an_address_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("tests.demo.watch.LOCAL_ADDRESS_SECONDS", 0)
    monkeypatch.setattr("tests.demo.watch.CLOUD_ADDRESS_SECONDS", 0)
    with pytest.raises(DemoError, match=r"^http://a/ cannot be read from this machine: .*down`"):
        until_served("http://a/", is_local=True)
    with pytest.raises(DemoError, match=r"^http://a/ cannot be read from this machine: refused$"):
        until_served("http://a/", is_local=False)
