"""Structured logs on standard output: JSON objects in a pod, coloured lines on a terminal.

A log line must not contain a key, so it contains names of objects and never their content.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

_SHARED: tuple[structlog.typing.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
)


def configure_logging(level: str, style: Literal["auto", "json", "text"]) -> None:
    """Configure structlog and the standard library's logging for the whole process."""
    text = style == "text" or (style == "auto" and sys.stdout.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
        if text
        else structlog.processors.JSONRenderer()
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_SHARED, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
    # kopf logs each event of each object; the client logs each request with its headers.
    for chatty in ("kopf", "aiohttp", "kubernetes", "client", "asyncio"):
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))
    logging.getLogger("kopf.objects").setLevel(logging.ERROR)
