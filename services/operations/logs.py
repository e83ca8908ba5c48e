"""Configure logs: facts in the past tense with fields, without personal data, as JSON or for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from services.kafka.trace_context import trace_of_command


def configure(log_format: Literal["auto", "console", "json"] | str) -> None:
    """Send this process's logs to stderr; `auto` is `console` on a terminal and `json` elsewhere."""
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
    """Write the logs of libraries in the same form, from a level on, by the names of their loggers.

    Only the message's text and its logger are written, never its arguments: they may hold personal data.
    """
    for name in names:
        library = logging.getLogger(name)
        library.setLevel(level)
        library.handlers = [_StructlogHandler()]
        library.propagate = False


class _StructlogHandler(logging.Handler):
    """Passes the log records of libraries to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a library's log record without its arguments."""
        cause = record.exc_info[0] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno,
            "a library logged",
            library=record.name,
            words=str(record.msg).partition("\n")[0],
            **({"error": cause.__name__} if cause else {}),
        )


def _add_trace_id(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Add the trace id of the command that a log line names."""
    if "command" in event:
        event["trace"] = trace_of_command(event["command"]).trace_id
    return event


def logger(role: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a role."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(role=role)
    return bound
