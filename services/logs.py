"""Logs: facts with fields, past tense, no personal data; JSON for machines, one line for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog


def configure(form: Literal["console", "json"] | str) -> None:
    """Send this process's logs to stderr, in one of the two forms."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def logger(role: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of a role."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(role=role)
    return bound
