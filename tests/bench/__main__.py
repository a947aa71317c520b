"""``python -m tests.bench [NAME …]``: runs benchmarks on the installed cluster;
``python -m tests.bench failover|finalise|playback|recording|restream|soak [OPTION …]``: one that
needs none.

Exit code 1 when a figure is beyond its limit."""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import failover, finalise, latency, mass, playback, recording, restream, soak
from tests.bench.figures import Figure
from tests.demo.environment import local
from tests.support.frames import make_clip
from tests.support.kubectl import Kubectl

BENCHMARKS: dict[str, Callable[[Kubectl, Path], list[Figure]]] = {
    "live": latency.publish_to_live,
    "start-of-recording": latency.apply_to_recording,
    "hundred-streams": mass.hundred_streams,
}

WITHOUT_CLUSTER: dict[str, Callable[[list[str]], int]] = {
    "failover": failover.main,
    "finalise": finalise.main,
    "playback": playback.main,
    "recording": recording.main,
    "restream": restream.main,
    "soak": soak.main,
}


def main(names: list[str]) -> int:
    if names and names[0] in WITHOUT_CLUSTER:
        return WITHOUT_CLUSTER[names[0]](names[1:])
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {list(BENCHMARKS)}")
    kubectl = local().kubectl
    namespace = f"bench-{secrets.token_hex(3)}"
    kubectl("create", "namespace", namespace)
    figures: list[Figure] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            clip = make_clip(Path(folder) / "a.flv", seconds=240)
            for name in names or BENCHMARKS:
                print(f"== {name}", flush=True)
                for figure in BENCHMARKS[name](kubectl.within(namespace), clip):
                    print(figure, flush=True)
                    figures.append(figure)
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")
    return 1 if any(figure.beyond for figure in figures) else 0


sys.exit(main(sys.argv[1:]))
