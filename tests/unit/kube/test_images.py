"""Images: what the tag depends on, what is sent to a node, what is kept."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.kube.errors import KubeToolError
from tests.kube.image_inputs import IMAGES, ImageSpec, content_hash, copy_inputs
from tests.kube.image_loading import KEEP_ON_NODE, surplus
from tests.kube.image_store import Layout, prune_index
from tests.kube.images import buildah_command, docker_command
from tests.kube.scratch_image import write_archive

SPEC = ImageSpec("thing", "Dockerfile", ["requirements.lock", "src"])


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "src" / "__pycache__").mkdir(parents=True)
    (root / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    (root / "requirements.lock").write_text("a==1\n", encoding="utf-8")
    (root / "src" / "a.py").write_text("A = 1\n", encoding="utf-8")
    (root / "src" / "__pycache__" / "a.pyc").write_bytes(b"\0")
    return root


def _hash(repository: Path, context: Path) -> str:
    copy_inputs(SPEC, repository, context)
    return content_hash(context)


def test_the_tag_follows_the_content_and_nothing_else(repository: Path, tmp_path: Path) -> None:
    first = _hash(repository, tmp_path / "1")
    (repository / "src" / "__pycache__" / "b.pyc").write_bytes(b"\1")
    (repository / "README.md").write_text("not part of the image", encoding="utf-8")
    (repository / "src" / "a.py").touch()
    assert _hash(repository, tmp_path / "2") == first
    (repository / "src" / "a.py").write_text("A = 2\n", encoding="utf-8")
    assert _hash(repository, tmp_path / "3") != first


def test_a_byte_moved_between_files_changes_the_tag(tmp_path: Path) -> None:
    for name, texts in (("1", ("ab", "c")), ("2", ("a", "bc"))):
        (tmp_path / name).mkdir()
        for file, text in zip(("x", "y"), texts, strict=True):
            (tmp_path / name / file).write_text(text, encoding="utf-8")
    assert content_hash(tmp_path / "1") != content_hash(tmp_path / "2")


def test_what_the_image_needs_and_lacks_is_named(repository: Path, tmp_path: Path) -> None:
    (repository / "requirements.lock").unlink()
    with pytest.raises(KubeToolError, match=r"thing needs requirements\.lock"):
        copy_inputs(SPEC, repository, tmp_path / "context")


def test_files_of_a_closed_checkout_are_readable_in_the_image(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "src" / "a.py").chmod(0o600)
    copy_inputs(SPEC, repository, tmp_path / "context")
    assert (tmp_path / "context" / "src" / "a.py").stat().st_mode & 0o777 == 0o644


def test_the_operator_takes_only_the_contract_from_the_media_code() -> None:
    inputs = IMAGES["operator"].inputs
    media = [Path(name).name for name in inputs if "images/media" in name]
    assert media == ["__init__.py", "contract"]


def test_docker_builds_from_the_public_base() -> None:
    words = docker_command(SPEC, "thing:1", Path("/context"), None)
    assert words == [
        *("docker", "build", "--quiet", "--tag", "thing:1"),
        *("--file", "/context/Dockerfile", "/context"),
    ]


def test_buildah_builds_from_our_base_and_passes_the_certificates() -> None:
    storage = ["--root", "/s"]
    words = buildah_command(storage, SPEC, "thing:1", Path("/context"), Path("/ca.crt"))
    assert words[:4] == ["buildah", "--root", "/s", "bud"]
    assert "BASE=localhost/sluice-base:trixie" in words
    assert words[words.index("--secret") + 1] == "id=ca,src=/ca.crt"


def _layout(folder: Path, versions: dict[str, list[bytes]]) -> Layout:
    """A layout of images made of these layers."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def store(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    manifests = []
    for reference, layers in versions.items():
        manifest = {"config": store(reference.encode()), "layers": [store(each) for each in layers]}
        annotations = {"org.opencontainers.image.ref.name": reference}
        manifests.append({**store(json.dumps(manifest).encode()), "annotations": annotations})
    index = {"schemaVersion": 2, "manifests": manifests}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return Layout(folder)


def test_only_missing_blobs_are_sent(tmp_path: Path) -> None:
    layout = _layout(tmp_path, {"x:1": [b"base" * 100, b"code"]})
    base, code = (f"sha256:{hashlib.sha256(d).hexdigest()}" for d in (b"base" * 100, b"code"))
    output = io.BytesIO()
    layout.write_archive("x:1", {base}, output)
    with tarfile.open(fileobj=io.BytesIO(output.getvalue())) as tar:
        names = tar.getnames()
        index = json.load(tar.extractfile("index.json") or io.BytesIO())
    assert f"blobs/{base.replace(':', '/')}" not in names
    assert f"blobs/{code.replace(':', '/')}" in names
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "x:1"


def test_the_manifest_is_sent_even_when_the_node_has_it(tmp_path: Path) -> None:
    layout = _layout(tmp_path, {"x:1": [b"base"]})
    manifest = layout.descriptor("x:1")["digest"]
    output = io.BytesIO()
    layout.write_archive("x:1", {manifest}, output)
    with tarfile.open(fileobj=io.BytesIO(output.getvalue())) as tar:
        assert f"blobs/{manifest.replace(':', '/')}" in tar.getnames()


def test_an_image_that_was_not_built_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubeToolError, match="x:1 is not in the cache"):
        Layout(tmp_path).descriptor("x:1")


def test_pruning_keeps_the_newest_and_what_they_share(tmp_path: Path) -> None:
    versions = {f"x:{n}": [b"base", f"code {n}".encode()] for n in range(5)}
    layout = _layout(tmp_path, {**versions, "y:0": [b"other"]})
    assert layout.prune("x", keep=3) == ["x:0", "x:1"]
    assert layout.references() == ["x:2", "x:3", "x:4", "y:0"]
    left = {path.read_bytes() for path in (tmp_path / "blobs" / "sha256").iterdir()}
    assert {b"base", b"code 4", b"other"} <= left
    assert b"code 0" not in left
    assert layout.prune("x", keep=3) == []


def test_another_image_whose_name_begins_alike_is_not_counted() -> None:
    name = "org.opencontainers.image.ref.name"
    index = {"manifests": [{"annotations": {name: n}} for n in ("x:1", "x-y:1", "x-y:2")]}
    assert prune_index(index, "x", keep=1)[1] == []


def test_a_node_drops_what_nobody_needs_under_all_its_names() -> None:
    lines = ["REF TYPE DIGEST SIZE"]
    lines += [f"x:{n} type sha256:m{n} 1" for n in range(KEEP_ON_NODE + 1)]
    lines += ["sha256:config0 type sha256:m0 1", "pause:1 type sha256:p 1"]
    cached = {f"x:{n}" for n in range(3, KEEP_ON_NODE + 1)}
    listing = "\n".join(lines)
    assert surplus(listing, {"x:1"}, cached, {"x"}) == ["x:0", "x:2", "sha256:config0"]
    assert surplus("\n".join(lines[:5]), set(), set(), {"x"}) == []


def test_a_scratch_image_is_a_docker_archive(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    write_archive(path, "x:1", {"bin/a": b"program"}, links={"bin/b": "a"}, entrypoint=["/bin/a"])
    with tarfile.open(path) as tar:
        manifest = json.load(tar.extractfile("manifest.json") or io.BytesIO())[0]
        config = json.load(tar.extractfile(manifest["Config"]) or io.BytesIO())
        layer = tar.extractfile(manifest["Layers"][0])
        assert layer is not None
        data = layer.read()
    assert manifest["RepoTags"] == ["x:1"]
    assert config["config"]["User"] == "65532:65532"
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(data).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getmember("bin/a").mode == 0o755
        assert tar.getmember("bin/b").linkname == "a"
