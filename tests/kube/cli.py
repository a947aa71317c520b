"""The command line: ``python3 -m tests.kube COMMAND``, from the root of the repository.

Results are written to standard output, progress and errors to standard error. Exit codes: 0 done, 1
failed (with a message), 2 wrong usage.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.kube import binaries, packages, provider, storage, tools
from tests.kube.api import Api, ApiError
from tests.kube.console import say
from tests.kube.errors import KubeToolError
from tests.kube.image_inputs import IMAGES
from tests.kube.images import ImageBuilder
from tests.kube.layout import MAX_NODES
from tests.kube.locking import exclusive
from tests.kube.paths import Paths
from tests.kube.selftest import SelfTest
from tests.kube.side_by_side import side_by_side

__all__ = ["main"]

Handler = Callable[[argparse.Namespace, Paths], int]


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    handler: Handler = arguments.handler
    try:
        return handler(arguments, Paths.from_environment())
    except (KubeToolError, ApiError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.kube", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, handler: Handler, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(handler=handler)
        return sub

    sub = command("packages", _packages, "install the Debian packages the demo or the tests need")
    sub.add_argument("--tests", action="store_true", help="add the packages that only tests need")
    sub.add_argument("--provider", default="auto", choices=(*provider.PROVIDERS, "existing"))
    sub.add_argument("--check", action="store_true", help="only list the missing packages")
    sub = command("binaries", _binaries, "build Kubernetes and its tools into the cache")
    sub.add_argument("--only", nargs="+", metavar="RECIPE", choices=sorted(binaries.RECIPES))
    sub = command(
        "prepare", _prepare, "build our images and the cluster's programs at the same time"
    )
    sub.add_argument("--provider", default="auto", choices=provider.PROVIDERS)
    sub = command("up", _up, "start the cluster, if it does not run yet")
    sub.add_argument("--nodes", type=int, default=1, choices=range(1, MAX_NODES + 1))
    sub.add_argument("--provider", default="auto", choices=provider.PROVIDERS)
    command("down", _down, "remove the cluster with everything that it made")
    command("status", _status, "print the state of the cluster; exit code 1 if it is not healthy")
    command("kubeconfig", _kubeconfig, "print the path of the administrator's kubeconfig")
    command("env", _env, "print KEY=VALUE lines about the cluster")
    sub = command("images", _images, "build those of our images whose content changed")
    sub.add_argument("names", nargs="*", metavar="|".join(IMAGES))
    sub.add_argument("--print", action="store_true", help="only print the images built last")
    command("load-images", _load_images, "copy the images built last to every node")
    sub = command("load", _load, "import image archives on every node")
    sub.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    sub = command("node", _node, "make a node fail, or start it again")
    sub.add_argument("action", choices=("stop", "start"))
    sub.add_argument("name", help="one of NODES in env")
    sub.add_argument(
        "--mode",
        default="processes",
        choices=("processes", "network", "power"),
        help="stop: kill its daemons, pull its cable, or kill everything on it",
    )
    command("selftest", _selftest, "prove storage, Services, DNS and Pod Security of the cluster")
    command("provisioner", _provisioner, "serve the default StorageClass (started by up)")
    return parser


def _packages(arguments: argparse.Namespace, paths: Paths) -> int:
    chosen = arguments.provider
    if chosen == "auto":
        running = provider.running_provider(paths)
        chosen = provider.choose("auto", running, docker=not running and provider.docker_answers())
    wanted = packages.needed(chosen, tests=arguments.tests)
    packages.ensure(wanted, check_only=arguments.check)
    return 0


def _binaries(arguments: argparse.Namespace, paths: Paths) -> int:
    names = arguments.only or binaries.DEFAULT
    if arguments.only == ["helm"]:
        print(tools.locate(paths, "helm"))
        return 0
    binaries.build(paths, names)
    for name in names:
        for binary in binaries.RECIPES[name].packages:
            print(binaries.Binaries(paths).path(binary))
    return 0


def _prepare(arguments: argparse.Namespace, paths: Paths) -> int:
    cluster, builder = provider.open_cluster(paths, arguments.provider), _builder(paths)
    side_by_side({"images": lambda _: builder.build([*IMAGES]), "programs": cluster.prepare})
    return 0


def _up(arguments: argparse.Namespace, paths: Paths) -> int:
    with exclusive(_lock(paths), "the cluster"):
        provider.open_cluster(paths, arguments.provider).up(arguments.nodes)
    print(paths.kubeconfig)
    return 0


def _down(_arguments: argparse.Namespace, paths: Paths) -> int:
    with exclusive(_lock(paths), "the cluster"):
        provider.open_cluster(paths).down()
    return 0


def _status(_arguments: argparse.Namespace, paths: Paths) -> int:
    healthy, lines = provider.open_cluster(paths).status()
    print("\n".join(lines))
    return 0 if healthy else 1


def _kubeconfig(_arguments: argparse.Namespace, paths: Paths) -> int:
    print(provider.open_cluster(paths).environment()["KUBECONFIG"])
    return 0


def _env(_arguments: argparse.Namespace, paths: Paths) -> int:
    for key, value in provider.open_cluster(paths).environment().items():
        print(f"{key}={value}")
    return 0


def _builder(paths: Paths) -> ImageBuilder:
    # Build images for the cluster's provider. Without a cluster, use Docker if it is installed.
    running = provider.running_provider(paths)
    docker = provider.docker_answers() if running is None else running == "kind"
    return ImageBuilder(paths, use_docker=docker)


def _images(arguments: argparse.Namespace, paths: Paths) -> int:
    builder = _builder(paths)
    built = builder.recorded() if arguments.print else builder.build(arguments.names or [*IMAGES])
    for name, reference in _some(built).items():
        print(f"{name}={reference}")
    return 0


def _load_images(_arguments: argparse.Namespace, paths: Paths) -> int:
    references = _some(_builder(paths).recorded()).values()
    provider.open_cluster(paths).load_images(list(references))
    return 0


def _some(built: dict[str, str]) -> dict[str, str]:
    if not built:
        raise KubeToolError("no image was built yet; run: python3 -m tests.kube images")
    return built


def _load(arguments: argparse.Namespace, paths: Paths) -> int:
    provider.open_cluster(paths).load_archives(arguments.archives)
    return 0


def _node(arguments: argparse.Namespace, paths: Paths) -> int:
    cluster = provider.open_cluster(paths)
    with exclusive(_lock(paths), "the cluster"):
        if arguments.action == "stop":
            cluster.stop_node(arguments.name, arguments.mode)
        else:
            cluster.start_node(arguments.name)
    return 0


def _selftest(_arguments: argparse.Namespace, paths: Paths) -> int:
    SelfTest(provider.open_cluster(paths).environment()).run()
    return 0


def _provisioner(_arguments: argparse.Namespace, paths: Paths) -> int:
    api = Api.from_kubeconfig(paths.config / "provisioner.kubeconfig")
    storage.Provisioner(api, paths.volumes).run()
    return 0


def _lock(paths: Paths) -> Path:
    # The lock file is beside the state folder, because down removes the folder under the lock.
    return paths.state.with_name(f"{paths.state.name}.lock")
