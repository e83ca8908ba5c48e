"""Spans to an OpenTelemetry collector, by OTLP over HTTP; needs the extra `tracing`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState, set_span_in_context
from opentelemetry.trace.span import NonRecordingSpan

from schemas.instants import to_microseconds
from services.kafka.spans import Attributes, Kind
from services.kafka.trace_context import Trace

_KINDS = {
    "consumer": SpanKind.CONSUMER,
    "producer": SpanKind.PRODUCER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}


class OtlpTracer:
    """Sends spans in batches, in the background; spans that the collector does not accept are lost."""

    def __init__(self, endpoint: str, role: str, version: str) -> None:
        resource = Resource.create({"service.name": f"termijn-{role}", "service.version": version})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("termijn", version)

    @property
    def close(self) -> Callable[[], None]:
        """Send the spans that are queued, and stop."""
        return self._provider.shutdown

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
        context = set_span_in_context(NonRecordingSpan(_parent(trace)))
        span = self._tracer.start_span(
            name,
            context,
            kind=_KINDS[kind],
            attributes=dict(attributes),
            start_time=_nanoseconds(started),
        )
        span.end(_nanoseconds(max(started, ended)))
        span_context = span.get_span_context()
        flags = f"{int(span_context.trace_flags):02x}"
        parent = f"00-{span_context.trace_id:032x}-{span_context.span_id:016x}-{flags}"
        return Trace(parent=parent, state=trace.state)


def _parent(trace: Trace) -> SpanContext:
    return SpanContext(
        trace_id=int(trace.trace_id, 16),
        span_id=int(trace.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(trace.parent[-2:], 16)),
        trace_state=TraceState.from_header([trace.state] if trace.state else []),
    )


def _nanoseconds(at: datetime) -> int:
    return to_microseconds(at) * 1_000
