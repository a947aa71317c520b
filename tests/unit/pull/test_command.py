"""Commands of the FFmpeg children: arguments and scripts."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from sluice_media.pull.command import Command, http_command, relay_command, srt_command
from sluice_media.pull.uri import parse_pull_uri

SECRET = "S3CRET"


def relayed(uri: str, *, encode_audio: bool = False) -> Command:
    return relay_command(parse_pull_uri(uri), 4000, encode_audio=encode_audio)


def option(command: Command, name: str) -> str:
    return command.argv[command.argv.index(name) + 1]


@pytest.mark.parametrize(
    ("command", "whitelist"),
    [
        (relayed(f"rtmps://u:{SECRET}@h.example/app/{SECRET}?k={SECRET}"), "pipe,rtmp,tcp"),
        (relayed(f"rtsps://u:{SECRET}@h.example/{SECRET}"), "pipe,tcp"),
        (
            srt_command(
                parse_pull_uri(f"srt://h.example:9000?streamid={SECRET}"),
                ip_address("10.0.0.7"),
                encode_audio=False,
            ),
            "pipe,srt",
        ),
    ],
)
def test_secrets_are_in_the_script_and_nowhere_else(command: Command, whitelist: str) -> None:
    assert command.script is not None
    assert SECRET in command.script
    assert SECRET not in " ".join(command.argv)
    assert SECRET not in repr(command)
    assert option(command, "-protocol_whitelist") == whitelist
    assert "h.example" not in " ".join(command.argv)


def test_http_goes_through_the_proxy_and_may_open_no_file() -> None:
    command = http_command("http://x.invalid/0.ts", "http://127.0.0.1:5", encode_audio=False)
    assert command.script is None
    assert option(command, "-http_proxy") == "http://127.0.0.1:5"
    assert option(command, "-protocol_whitelist") == "http,tcp,crypto"
    formats = option(command, "-format_whitelist").split(",")
    assert not {"concat", "sdp", "dash", "rtsp", "ffmetadata"} & set(formats)


def test_probing_is_short_and_keeps_every_packet() -> None:
    command = relayed("rtmp://h/app/key")
    assert option(command, "-probesize") == option(command, "-analyzeduration") == "500000"
    assert "option probesize '500000'" in str(command.script)
    assert "nobuffer" not in " ".join(command.argv)


def test_the_first_video_and_audio_are_copied_unless_the_audio_must_be_encoded() -> None:
    command = relayed("rtmp://h/app/key")
    maps = [command.argv[i + 1] for i, word in enumerate(command.argv) if word == "-map"]
    assert maps == ["0:v:0?", "0:a:0?"]
    assert option(command, "-c") == "copy"
    assert "-c:a" not in command.argv
    assert option(relayed("rtmp://h/app/key", encode_audio=True), "-c:a") == "aac"


def test_an_rtmp_source_receives_its_own_url_and_not_the_relays() -> None:
    script = str(relayed("rtmps://h.example/app/instance/key?a=it's").script)
    assert "file 'rtmp://127.0.0.1:4000/'" in script
    assert "option rtmp_tcurl 'rtmps://h.example/app/instance'" in script
    assert "option rtmp_playpath 'key?a=it'\\''s'" in script


def test_srt_calls_the_address_that_was_checked() -> None:
    uri = parse_pull_uri("srt://h.example:9000?latency=200&passphrase=0123456789&streamid=a%26b")
    script = str(srt_command(uri, ip_address("fd12::1"), encode_audio=False).script)
    assert "srt://[fd12::1]:9000?" in script
    assert "latency=200000" in script
    assert "streamid=a%26b" in script
    assert "mode=caller" in script
