"""Spans: what a role did for one message, if anybody collects that."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

from services.kafka.trace_context import Trace

Kind = Literal["consumer", "producer", "client", "internal"]
Attributes = Mapping[str, str | int]
"""Never a subject, an identifier of an event, or anything else that leads to a person."""


class Tracer(Protocol):
    """Who collects spans."""

    def record_span(
        self,
        name: str,
        trace: Trace,
        kind: Kind,
        started: datetime,
        ended: datetime,
        attributes: Attributes,
    ) -> Trace:
        """Something was done between two instants, UTC; where what follows from it stands."""


class NoTracer:
    """Nobody collects them: what follows stands where it came from."""

    def record_span(
        self,
        name: str,
        trace: Trace,
        kind: Kind,
        started: datetime,
        ended: datetime,
        attributes: Attributes,
    ) -> Trace:
        """The trace as it came."""
        return trace


NO_TRACER = NoTracer()
