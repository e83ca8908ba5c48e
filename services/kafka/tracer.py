"""Open the tracer, which records spans; OpenTelemetry is imported only if a collector is configured."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import import_module
from importlib.metadata import version

from schemas.errors import TermijnError
from services.kafka.spans import NO_TRACER, Tracer


class TracingMissing(TermijnError):
    """A collector is configured, but the extra `tracing` is not installed; the role did not start.

    The operator installs the extra, or removes the collector from the settings.
    """

    def __init__(self, endpoint: str) -> None:
        super().__init__(
            f"tracing: spans cannot be sent to {endpoint}, since the extra `tracing` is not installed;"
            " pip install termijn[tracing]"
        )


def open_tracer(endpoint: str, role: str, stack: ExitStack) -> Tracer:
    """Return a tracer for the collector at an endpoint, closed with the stack; without one, `NO_TRACER`.

    Raises:
        TracingMissing: the extra `tracing` is not installed.
    """
    if not endpoint:
        return NO_TRACER
    try:
        otlp = import_module("services.kafka.otlp_spans")
    except ModuleNotFoundError as cause:
        raise TracingMissing(endpoint) from cause
    tracer = otlp.OtlpTracer(endpoint, role, version("termijn"))
    stack.callback(tracer.close)
    opened: Tracer = tracer
    return opened
