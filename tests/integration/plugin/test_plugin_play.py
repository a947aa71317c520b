"""kubectl sluice play-url: the address of the player, with a token where viewers need one."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from base64 import b64encode
from typing import Any

import pytest

from tests.integration.plugin.shell import Shell

BASE = "https://play.example.org"


def played(shell: Shell, access: str = "Signed", **parts: Any) -> None:
    shell.stream(
        spec={"source": {"push": {}}, "playback": {"access": access}},
        status={"playback": {"baseUrl": BASE}},
        **parts,
    )


def with_key(shell: Shell, key: str = "s3cret") -> None:
    shell.put("secrets", "show-playback", data={"key": b64encode(key.encode()).decode()})


def test_a_public_address_is_printed_and_no_secret_is_read(shell: Shell) -> None:
    played(shell, "Public")
    assert shell.run("play-url", "show") == (f"{BASE}/ns/show/\n", "")
    assert not any("secret" in word for call in shell.calls() for word in call)


def test_a_public_address_does_not_expire_and_says_so(shell: Shell) -> None:
    played(shell, "Public")
    out, err = shell.run("play-url", "show", "--expires", "1h")
    assert out == f"{BASE}/ns/show/\n"
    assert "does not expire, because the access of the stream is Public" in err


@pytest.mark.parametrize(
    ("args", "seconds"),
    [
        ((), 14_400),
        (("--expires", "90s"), 90),
        (("--expires", "30m"), 1_800),
        (("--expires", "7d"), 604_800),
    ],
)
def test_a_signed_address_has_its_expiry_and_a_mac_over_path_and_expiry(
    shell: Shell, args: tuple[str, ...], seconds: int
) -> None:
    played(shell)
    with_key(shell, " s3cret\n")
    before = int(time.time())
    out, err = shell.run("play-url", "show", *args)
    found = re.fullmatch(rf"{BASE}/~([0-9]+)~([0-9a-f]{{64}})/ns/show/\n", out)
    assert found is not None
    expiry = int(found[1])
    assert before + seconds <= expiry <= time.time() + seconds
    message = f"/ns/show/{expiry}".encode()
    assert found[2] == hmac.new(b"s3cret", message, hashlib.sha256).hexdigest()
    assert "The address expires at" in err
    assert "s3cret" not in out + err


def test_the_example_of_the_documentation_signs_the_same(shell: Shell) -> None:
    page = shell.docs("playback.md")
    code = page.partition("```python\n")[2].partition("```")[0]
    scope: dict[str, Any] = {}
    exec(code, scope)
    played(shell)
    with_key(shell)
    out, _ = shell.run("play-url", "show")
    seconds = int(out.split("~")[1]) - int(time.time())
    signed = {scope["signed"](BASE, "ns", "show", "s3cret", seconds + more) for more in (-1, 0, 1)}
    assert out.strip() in signed


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (None, "There is no Secret show-playback yet"),
        ({}, "Secret show-playback has no text under `key`"),
        ({"key": "%%"}, "Secret show-playback has no text under `key`"),
    ],
)
def test_without_a_key_nothing_can_be_signed(shell: Shell, secret: Any, words: str) -> None:
    played(shell)
    if secret is not None:
        shell.put("secrets", "show-playback", data=secret)
    assert words in shell.run("play-url", "show", want=1)[1]


def test_a_stream_without_playback_says_how_to_switch_it_on(shell: Shell) -> None:
    shell.stream()
    _, err = shell.run("play-url", "show", want=1)
    assert "has no playback, so it cannot be watched" in err
    assert "`playback: {}`" in err


def test_a_stream_without_an_address_says_why(shell: Shell) -> None:
    waits = {"type": "PlaybackReady", "status": "False", "message": "The edge has no address."}
    shell.stream(spec={"playback": {}}, status={"conditions": [waits]})
    _, err = shell.run("play-url", "show", want=1)
    assert "has no address for viewers yet: The edge has no address." in err


@pytest.mark.parametrize("expires", ["0h", "4", "h", "-1h", "1.5h", "1w"])
def test_a_time_that_is_none_asks_nothing_of_the_cluster(shell: Shell, expires: str) -> None:
    _, err = shell.run("play-url", "show", f"--expires={expires}", want=2)
    assert "is not a time such as 30m, 4h or 7d" in err
    assert not (shell.cluster / "calls").exists()
