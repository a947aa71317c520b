"""The command line of the operator: ``run``, ``crds DIR`` and ``version``."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvloop
from pydantic import ValidationError

app = typer.Typer(
    name="sluice-operator",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run() -> None:
    """Run the operator. Settings come from SLUICE_* variables, the cluster from KUBECONFIG."""
    from sluice_operator.app import run as run_operator
    from sluice_operator.settings import Settings
    from sluice_operator.telemetry.logs import configure_logging

    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            where = "_".join(str(part) for part in problem["loc"]).upper()
            typer.echo(f"SLUICE_{where}: {problem['msg']}", err=True)
        raise typer.Exit(2) from None
    configure_logging(settings.log_level, settings.log_format)
    log = structlog.get_logger(__name__)
    try:
        uvloop.run(run_operator(settings))
    except Exception as failure:
        for leaf in _leaves(failure):
            log.error(
                "operator_failed", error_type=type(leaf).__name__, error=str(leaf), exc_info=leaf
            )
        raise typer.Exit(1) from None
    log.info("stopped")


@app.command()
def crds(
    directory: Annotated[Path, typer.Argument(help="Folder to write the YAML files to.")],
) -> None:
    """Write the CustomResourceDefinitions, one file for each kind."""
    from sluice_operator.crd import write_crds

    for path in write_crds(directory):
        typer.echo(path)


@app.command("version")
def show_version() -> None:
    """Print the version."""
    try:
        typer.echo(version("sluice-operator"))
    except PackageNotFoundError:
        typer.echo("not installed")


def _leaves(group: BaseException) -> list[BaseException]:
    """Return the exceptions inside nested exception groups."""
    if isinstance(group, BaseExceptionGroup):
        return [leaf for inner in group.exceptions for leaf in _leaves(inner)]
    return [group]
