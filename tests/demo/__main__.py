"""``python -m tests.demo install | up | down``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path

import typer

from tests.demo import broadcast
from tests.demo.console import DemoError, say, step
from tests.demo.environment import Environment, existing, local, run_tool
from tests.demo.install import install as install_chart
from tests.demo.install import uninstall as uninstall_chart

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


class Which(StrEnum):
    auto = "auto"
    kind = "kind"
    bare = "bare"
    existing = "existing"


def _bring_up(cluster: Which) -> Environment:
    if cluster is Which.existing:
        with step("building the images"):
            run_tool("images")
        with step("pushing the images to your registry"):
            return existing(push=True)
    say("• building the images and the cluster's programs (what is there is not built again)")
    run_tool("prepare", "--provider", cluster, capture=False)
    with step("bringing the local cluster up"):
        run_tool("up", "--provider", cluster, capture=False)
    with step("loading the images into the cluster"):
        run_tool("load-images", capture=False)
    return local()


@app.command()
def install() -> None:
    """Installs or upgrades the chart on the local cluster."""
    with step("installing the chart with Helm"):
        install_chart(local())


@app.command()
def up(cluster: Which = Which.auto, folder: Path = Path()) -> None:
    """A whole broadcast: published, live, watched, recorded, restreamed, fetched and proven."""
    env = _bring_up(cluster)
    with step("installing the chart with Helm"):
        install_chart(env)
    broadcast.run(env, folder)


@app.command()
def down(cluster: Which = Which.auto) -> None:
    """Removes what the demo made. The local cluster stays: `make cluster-down` removes it."""
    env = existing(push=False) if cluster is Which.existing else local()
    with step("removing the demo's namespace"):
        broadcast.remove(env)
    with step("uninstalling the chart"):
        uninstall_chart(env)
    if cluster is not Which.existing:
        say("The local cluster is still there; `make cluster-down` removes it.")


try:
    app(standalone_mode=True)
except DemoError as error:
    sys.exit(f"\n{error}")
except AssertionError as error:
    sys.exit(f"\nThe demo did not get there: {error}")
