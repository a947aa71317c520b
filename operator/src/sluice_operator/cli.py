"""The command line of the operator: ``run``, ``crds DIR`` and ``version``; the form of its logs."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

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

_PROCESSORS: tuple[structlog.typing.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
)
"""Processors of every log line, before it is rendered."""


@app.command()
def run() -> None:
    """Run the operator. Settings come from SLUICE_* variables, the cluster from KUBECONFIG."""
    from sluice_operator.app import run as run_operator
    from sluice_operator.settings import Settings

    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            where = "_".join(str(part) for part in problem["loc"]).upper()
            typer.echo(f"SLUICE_{where}: {problem['msg']}", err=True)
        raise typer.Exit(2) from None
    _configure_logging(settings.log_level, settings.log_format)
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


def _configure_logging(level: str, style: Literal["auto", "json", "text"]) -> None:
    """Configure structlog and the standard library's logging for the whole process.

    Logs go to standard output: JSON objects in a pod, coloured lines on a terminal. A log line must
    not contain a key, so it contains names of objects and never their content.
    """
    text = style == "text" or (style == "auto" and sys.stdout.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
        if text
        else structlog.processors.JSONRenderer()
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_PROCESSORS, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_PROCESSORS,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
    # kopf logs each event of each object; the client logs each request with its headers.
    for chatty in ("kopf", "aiohttp", "kubernetes", "client", "asyncio"):
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))
    logging.getLogger("kopf.objects").setLevel(logging.ERROR)


def _leaves(group: BaseException) -> list[BaseException]:
    """Return the exceptions inside nested exception groups."""
    if isinstance(group, BaseExceptionGroup):
        return [leaf for inner in group.exceptions for leaf in _leaves(inner)]
    return [group]
