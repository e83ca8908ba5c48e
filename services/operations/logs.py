"""Logs: facts with fields, past tense, no personal data; JSON for machines, one line for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from services.kafka.trace_context import trace_of_command


def configure(log_format: Literal["auto", "console", "json"] | str) -> None:
    """Send this process's logs to stderr, in one of the two forms; `auto` is what stderr is for."""
    if log_format == "auto":
        log_format = "console" if sys.stderr.isatty() else "json"
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_trace_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def redirect_library_logs(level: int, *names: str) -> None:
    """Have what libraries say by these loggers, from a level on, come out in the same form.

    Only what was said and by whom, never the values that went with it: they may hold a message.
    """
    for name in names:
        library = logging.getLogger(name)
        library.setLevel(level)
        library.handlers = [_StructlogHandler()]
        library.propagate = False


class _StructlogHandler(logging.Handler):
    """Hands a library's words over."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say what a library says, without its arguments."""
        cause = record.exc_info[0] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno,
            "a library said",
            library=record.name,
            words=str(record.msg).partition("\n")[0],
            **({"error": cause.__name__} if cause else {}),
        )


def _add_trace_id(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """What is said of a command leads to its trace, in whatever role."""
    if "command" in event:
        event["trace"] = trace_of_command(event["command"]).trace_id
    return event


def logger(role: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of a role."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(role=role)
    return bound
