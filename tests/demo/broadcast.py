"""The broadcast of the demo: what a producer would do, step by step, with real media."""

from __future__ import annotations

import base64
import time
from pathlib import Path

from tests.demo.console import DemoError, say, step
from tests.demo.environment import REPOSITORY, Environment
from tests.demo.proof import decode_errors, probe
from tests.demo.watch import CannotWatchError, Watched, until_served, watch
from tests.support.kubectl import Kubectl
from tests.support.recordings import download

__all__ = ["NAMESPACE", "remove", "run"]

NAMESPACE = "sluice-demo"
ENCODER = "encoder"
RECORD_SECONDS = 14
WATCH_SECONDS = 10
"""Time for which the headless browser plays, while the stream is recorded."""
EXAMPLES = REPOSITORY / "examples"


def run(env: Environment, folder: Path) -> None:
    """Raises DemoError or AssertionError with a sentence where a step does not get there."""
    kube = env.kubectl.within(NAMESPACE)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    env.kubectl.apply(namespace)
    # A recording is frozen once made: a second demo makes a new one.
    kube.delete("recording", "sunday-service", "--wait=true")
    kube.delete("pod", ENCODER, "--wait=true")
    with step("applying a LiveStream, and another one as the platform to restream to"):
        kube("apply", "-f", str(EXAMPLES / "demo" / "livestream.yaml"))
        kube("apply", "-f", str(EXAMPLES / "demo" / "target.yaml"))
        for name in ("sunday-service", "demo-target"):
            kube.wait_condition("livestream", name, "Ready", seconds=120)
    with step("starting an encoder pod: a test picture with a clock and a tone, over RTMP"):
        manifest = (EXAMPLES / "demo" / "encoder.yaml").read_text()
        kube("apply", "-f", "-", stdin=manifest.replace("sluice/media:demo", env.images["media"]))
        kube.wait_condition("livestream", "sunday-service", "Live", seconds=90)
    with step("recording it, and restreaming it"):
        kube("apply", "-f", str(EXAMPLES / "recording.yaml"))
        kube("apply", "-f", str(EXAMPLES / "demo" / "restream.yaml"))
        kube.wait(
            "recording", "sunday-service", lambda o: o["status"].get("recording"), why="records"
        )
        kube.wait_condition("restream", "to-demo-target", "Live", seconds=60)
        kube.wait_condition("livestream", "demo-target", "Live", seconds=60)
    recorded_since = time.monotonic()
    with step("waiting until browsers can play it"):
        kube.wait_condition("livestream", "sunday-service", "PlaybackReady", seconds=90)
        player = kube.status("livestream", "sunday-service")["playback"]["player"]
        until_served(player, is_local=env.public_host is not None)
    picture = folder / "sunday-service.png"
    watched = _watch(player, picture)
    with step(f"letting it run for {RECORD_SECONDS} s in all"):
        time.sleep(max(0.0, recorded_since + RECORD_SECONDS - time.monotonic()))
    say()
    for kind in ("livestreams", "recordings", "restreams"):
        say(kube("get", kind))
    with step("stopping the recording, and waiting for its MP4"):
        kube.patch("recording", "sunday-service", {"spec": {"desiredState": "Stopped"}})
        kube.wait_condition("recording", "sunday-service", "Succeeded", seconds=120)
    with step("fetching the MP4 and decoding every frame of it"):
        files = download(kube, "sunday-service", folder)
        for file in files:
            _prove(kube, file)
    for file in files:
        _describe(kube, file)
    if isinstance(watched, Watched):
        say(f"\n{picture}: the player page in a headless browser")
        say(f"  {watched}, {watched.frames} frames")
    else:
        say(f"\nNo picture of the player page: {watched}.")
    _say_what_next(kube, player)


def remove(env: Environment) -> None:
    env.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true")


def _watch(player: str, picture: Path) -> Watched | CannotWatchError:
    """Return what a headless browser saw, or the reason why this machine cannot watch."""
    with step(f"watching it for {WATCH_SECONDS} s in a headless browser"):
        try:
            return watch(player, picture, WATCH_SECONDS)
        except CannotWatchError as reason:
            return reason


def _prove(kube: Kubectl, file: Path) -> None:
    errors = decode_errors(kube, ENCODER, file)
    if errors:
        raise DemoError(f"{file.name} does not decode cleanly: {errors}")


def _describe(kube: Kubectl, file: Path) -> None:
    found = probe(kube, ENCODER, file)
    streams = ", ".join(
        f"{s['codec_name']} {s['width']}x{s['height']}"
        if s["codec_type"] == "video"
        else f"{s['codec_name']} {s['sample_rate']} Hz"
        for s in found["streams"]
    )
    seconds = float(found["format"]["duration"])
    say(f"\n{file}: {seconds:.1f} s, {streams}, no decode error")
    say(f"  title: {found['format']['tags'].get('title', '')}")


def _say_what_next(kube: Kubectl, player: str) -> None:
    data = kube.get("secret", "sunday-service-ingest")["data"]
    server = base64.b64decode(data["rtmpServer"]).decode()
    say(
        f"""
The stream is still on air. Watch it in your browser, and rewind up to five minutes:
    {player}
Your own encoder instead: delete the encoder pod,
    kubectl -n {NAMESPACE} delete pod encoder
and in OBS under Settings > Stream choose the service "Custom…" and paste
    Server      {server}
    Stream Key  the output of
                kubectl -n {NAMESPACE} get secret sunday-service-ingest \\
                  -o jsonpath='{{.data.streamKey}}' | base64 -d
kubectl for this cluster:
    export KUBECONFIG={kube.kubeconfig}
Clean up:
    make demo-down"""
    )
