"""`make demo` on Linux, macOS and WSL2: what it needs there, and who dials which address."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.kube.images import BUNDLES
from tests.kube.packages import BARE, TESTS, needed
from tests.kube.paths import REPOSITORY
from tests.kube.reach import public_host
from tests.kube.tools import fits

MAKEFILE = (REPOSITORY / "Makefile").read_text("utf-8")
NODE = "172.18.0.2"


@pytest.mark.parametrize(
    ("system", "release", "docker", "want"),
    [
        pytest.param("Linux", "6.1.0-18-amd64", "Debian GNU/Linux 12", NODE, id="linux"),
        pytest.param("Linux", "6.8.0-generic", "Docker Desktop", "127.0.0.1", id="linux-desktop"),
        pytest.param("Darwin", "23.5.0", "Docker Desktop", "127.0.0.1", id="macos"),
        pytest.param("Darwin", "23.5.0", "Alpine Linux v3.19", "127.0.0.1", id="macos-colima"),
        pytest.param(
            "Linux",
            "5.15.153.1-microsoft-standard-WSL2",
            "Docker Desktop",
            "127.0.0.1",
            id="wsl2-desktop",
        ),
        pytest.param(
            "Linux",
            "5.15.153.1-microsoft-standard-WSL2",
            "Ubuntu 24.04",
            "127.0.0.1",
            id="wsl2-own-docker",
        ),
    ],
)
def test_people_dial_what_their_system_forwards(
    system: str, release: str, docker: str, want: str
) -> None:
    assert public_host(system, release, docker, NODE) == want


def test_the_demos_encoder_dials_the_gateways_service() -> None:
    """127.0.0.1 of the laptop is nobody in a pod."""
    file = REPOSITORY / "examples/demo/encoder.yaml"
    pod = yaml.safe_load(file.read_text("utf-8"))
    [container] = pod["spec"]["containers"]
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert env["SERVER"] == "rtmp://sluice-gateway.sluice-system.svc.cluster.local:1935"
    [volume] = pod["spec"]["volumes"]
    assert [item["key"] for item in volume["secret"]["items"]] == ["streamKey"]


@pytest.mark.parametrize("provider", ["kind", "existing"])
def test_the_demo_needs_no_package_where_docker_is(provider: str) -> None:
    assert needed(provider, tests=False) == {}
    assert needed(provider, tests=True) == TESTS


def test_what_only_tests_use_is_asked_for_by_the_tests_alone() -> None:
    assert needed("bare", tests=False) == BARE
    for package in ("chromium", "nginx", "gstreamer1.0-tools", "srt-tools", "ffmpeg"):
        assert package in TESTS
        assert package not in BARE


def test_the_makefile_is_one_that_macos_reads() -> None:
    """GNU make 3.81 without `.ONESHELL` and `.SHELLFLAGS`, and BSD's install."""
    assert not re.findall(r"^\.(?:ONESHELL|SHELLFLAGS)|^SHELL\b", MAKEFILE, re.MULTILINE)
    assert "install -D" not in MAKEFILE
    assert not re.findall(r"\b(?:readlink -f|sed -i|cp -a|date -d|nproc|file )", MAKEFILE)


def test_no_program_of_the_demo_imports_what_reads_media_on_this_machine() -> None:
    """FFmpeg is in the media image, not on every laptop."""
    for file in (REPOSITORY / "tests/demo").glob("*.py"):
        assert "support.frames" not in file.read_text("utf-8"), file.name


def test_certificates_are_looked_for_where_each_system_has_them() -> None:
    assert len({Path(bundle).parent for bundle in BUNDLES}) > 2


@pytest.mark.parametrize(
    ("tool", "answer", "want"),
    [
        ("helm", "v4.0.1", True),
        ("helm", "v3.19.2", False),
        ("kubectl", '{"clientVersion": {"gitVersion": "v1.36.1"}}', True),
        ("kubectl", '{"clientVersion": {"gitVersion": "v1.34.9-gke.1"}}', True),
        ("kubectl", '{"clientVersion": {"gitVersion": "v1.31.0"}}', False),
        ("kubectl", "error: unknown flag", False),
        ("kind", "0.33.0", True),
        ("kind", "0.20.0", False),
        ("kind", "", False),
    ],
)
def test_a_tool_on_the_path_is_used_when_its_version_fits(
    tool: str, answer: str, want: bool
) -> None:
    assert fits(tool, answer) is want
