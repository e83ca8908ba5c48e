"""Spans of distributed tracing: the steps of a role for one message, for a collector if configured."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

from services.kafka.trace_context import Trace

Kind = Literal["consumer", "producer", "client", "internal"]
Attributes = Mapping[str, str | int]
"""Never a subject, an identifier of an event, or anything else that leads to a person."""


class Tracer(Protocol):
    """Collects spans."""

    def record_span(
        self,
        name: str,
        trace: Trace,
        kind: Kind,
        started: datetime,
        ended: datetime,
        attributes: Attributes,
    ) -> Trace:
        """Record a span between two instants, UTC; return the trace for later messages."""


class NoTracer:
    """Records nothing: later messages have the trace that came in."""

    def record_span(
        self,
        name: str,
        trace: Trace,
        kind: Kind,
        started: datetime,
        ended: datetime,
        attributes: Attributes,
    ) -> Trace:
        """Return the trace unchanged."""
        return trace


NO_TRACER = NoTracer()
