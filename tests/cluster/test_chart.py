"""The chart on a real API server: every shape of it is admitted, and a second install changes
nothing. The release of these tests has names of its own and images that do not exist, so that no
second operator ever runs beside the installed one."""

from __future__ import annotations

import base64
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.support.chart_release import OTHER_MEDIA_PORT, Release
from tests.support.cluster import REPOSITORY, SYSTEM_NAMESPACE, Cluster
from tests.support.helm import CHART, VALUES_FILES
from tests.support.kubectl import Kubectl
from tests.support.objects import livestream
from tests.support.publish import Publisher, wait_gateway

ACCEPTED = ("apply", "--dry-run=server", "--validate=strict")
EXAMPLES = sorted((REPOSITORY / "examples").rglob("*.yaml"))
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def test_the_api_server_accepts_every_shape(release: Release) -> None:
    """Strictly: a field that the server does not know is an error, not a warning."""
    for file in VALUES_FILES:
        own = ["--set=crds.enabled=false", f"--set=fullnameOverride={release.name}"]
        if "watchNamespaces" in file.read_text(encoding="utf-8"):
            own.append(f"--set=operator.watchNamespaces={{{release.name}}}")
        # A port that is taken by the installed gateway is no fault of the chart.
        if "nodePort" in file.read_text(encoding="utf-8"):
            ports = ("rtmp", "rtmps", "srt")
            own += [f"--set=gateway.service.nodePorts.{port}=0" for port in ports]
            own += ["--set=whip.service.nodePorts.http=0", f"--set={OTHER_MEDIA_PORT}"]
            own.append("--set=edge.service.nodePorts.http=0")
        options = (f"--namespace={release.name}", f"--values={file}", *own)
        rendered = release.folder / file.name
        rendered.write_text(
            release.helm("template", release.name, str(CHART), *options), encoding="utf-8"
        )
        # The error of kubectl names the file.
        accepted = release.kubectl(*ACCEPTED, "-f", str(rendered))
        assert "deployment.apps/" in accepted, file.name


def test_an_upgrade_changes_what_was_asked_for_and_uninstalling_leaves_nothing(
    release: Release, cluster: Cluster
) -> None:
    """A second install with the same values changes nothing."""
    release.upgrade()
    # Pods are admitted by Pod Security "restricted": their image is missing, nothing else.
    for component in ("operator", "gateway", "whip"):
        release.kubectl.wait(
            "deployment",
            f"{release.name}-{component}",
            lambda o: o.get("status", {}).get("replicas") == 1,
            why="makes its pod",
            seconds=30,
        )
        [pod] = release.pods(component)
        release.kubectl.wait("pod", pod, _waits_for_its_image, why="is admitted", seconds=30)
    before = release.generations(), release.resource_versions()
    release.upgrade()
    assert (release.generations(), release.resource_versions()) == before

    release.upgrade({"gateway": {"service": {"type": "ClusterIP"}, "replicas": 2}})
    generations, after = before[0], release.generations()
    changed = {name for name in after if after[name] != generations[name]}
    assert changed == {f"Deployment/{release.name}-gateway"}

    release.helm("uninstall", release.name, f"--namespace={release.name}", "--wait")
    everything = "deployments,services,networkpolicies,roles,rolebindings,clusterroles"
    selector = f"app.kubernetes.io/instance={release.name}"
    assert not release.kubectl.list(everything, "-l", selector)
    assert not cluster.kubectl.list("clusterrolebindings", "-l", selector)


def _waits_for_its_image(pod: dict[str, Any]) -> bool:
    states = [s["state"].get("waiting", {}) for s in pod["status"].get("containerStatuses", [])]
    return any(s.get("reason") in {"ErrImageNeverPull", "CreateContainerError"} for s in states)


def test_upgrading_the_gateway_cuts_no_publisher(
    sluice: Cluster, kube: Kubectl, release: Release, clip: Path
) -> None:
    """A gateway of this test's own, in front of a stream of the installed operator."""
    image = sluice.system.get("deployment", "sluice-gateway")["spec"]["template"]["spec"][
        "containers"
    ][0]["image"]
    repository, _, tag = image.rpartition(":")
    values: dict[str, Any] = {
        "media": {"image": {"repository": repository, "tag": tag}},
        "gateway": {"publicHost": sluice.node_ip, "service": {"type": "NodePort"}},
        "whip": {"enabled": False},
    }
    release.upgrade(values)
    gateway = f"{release.name}-gateway"
    release.kubectl("rollout", "status", f"deployment/{gateway}", "--timeout=120s")
    ports = release.kubectl.get("service", gateway)["spec"]["ports"]
    [port] = [port for port in ports if port["name"] == "rtmp"]
    kube.apply(livestream("match"))
    kube.wait_condition("livestream", "match", "Ready")
    data = kube.get("secret", "match-ingest")["data"]
    key = base64.b64decode(data["streamKey"]).decode()
    url = f"rtmp://{sluice.node_ip}:{port['nodePort']}/{kube.namespace}/{key}"
    wait_gateway(url)
    with Publisher(clip, url) as publisher:
        kube.wait_condition("livestream", "match", "Live")
        [old] = release.pods("gateway")
        values["gateway"]["podAnnotations"] = {"example.org/changed": "yes"}
        release.upgrade(values)
        release.kubectl("rollout", "status", f"deployment/{gateway}", "--timeout=120s")
        assert len(release.pods("gateway")) == 2, "the old one stays for its publisher"
        time.sleep(3)
        assert publisher.running, publisher.output()
        status = kube.status("livestream", "match")
        assert status["live"]
        assert len(status["sessions"]) == 1
        publisher.stop()
    release.kubectl("wait", f"pod/{old}", "--for=delete", "--timeout=90s")


def _may(kubectl: Kubectl, who: str, verb: str, resource: str, *args: str) -> bool:
    answer = kubectl(
        "auth",
        "can-i",
        verb,
        resource,
        f"--as=system:serviceaccount:{SYSTEM_NAMESPACE}:{who}",
        *args,
        check=False,
    )
    return answer.strip().splitlines()[-1] == "yes"


def test_the_installed_operator_reads_secrets_by_name_only(sluice: Cluster) -> None:
    kubectl = sluice.kubectl
    assert _may(kubectl, "sluice-operator", "get", "secrets/some-stream-ingest")
    for verb in ("list", "watch", "deletecollection"):
        assert not _may(kubectl, "sluice-operator", verb, "secrets", "--all-namespaces")
    assert not _may(kubectl, "sluice-operator", "create", "pods/exec")
    assert not _may(kubectl, "sluice-operator", "delete", "recordings.sluice.video")
    assert not _may(kubectl, "sluice-operator", "create", "clusterrolebindings")
    for who in ("sluice-gateway", "sluice-whip", "sluice-edge"):
        assert not _may(kubectl, who, "get", "pods")
    for service in ("sluice-whip", "sluice-edge"):
        found = f"services/{service}"
        assert _may(kubectl, "sluice-operator", "get", found, f"-n{SYSTEM_NAMESPACE}")


def test_edit_may_make_streams_and_view_may_look(sluice: Cluster) -> None:
    """The API server aggregates our rules into the cluster's own roles."""
    for role, verb in (("view", "watch"), ("edit", "create"), ("admin", "patch")):
        sluice.kubectl.wait(
            "clusterrole",
            role,
            partial(_allows, verb),
            why=f"allows to {verb} livestreams",
            seconds=30,
        )


def _allows(verb: str, role: dict[str, Any]) -> bool:
    rules = [r for r in role["rules"] if "sluice.video" in r.get("apiGroups", [])]
    return any(verb in r["verbs"] and "livestreams" in r["resources"] for r in rules)


def test_every_example_and_every_manifest_in_the_documentation_is_accepted(
    kube: Kubectl, tmp_path: Path
) -> None:
    """The error of kubectl names each file that is not accepted."""
    files = list(EXAMPLES)
    for page in PAGES:
        blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
        documents = [document for block in blocks for document in yaml.safe_load_all(block)]
        if documents:
            files.append(tmp_path / f"{page.name}.yaml")
            files[-1].write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    kube(*ACCEPTED, *(f"--filename={file}" for file in files))
