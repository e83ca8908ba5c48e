"""Opening: whoever wants spans names a collector; nobody else pays for it, not even by an import."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import import_module
from importlib.metadata import version

from schemas.errors import TermijnError
from services.kafka.spans import NO_TRACER, Tracer


class TracingMissing(TermijnError):
    """A collector is named, and what sends spans to it is not installed; the role did not start.

    The operator installs the extra `tracing`, or names no collector.
    """

    def __init__(self, endpoint: str) -> None:
        super().__init__(
            f"spans should go to {endpoint}, and the extra `tracing` is not installed:"
            " pip install termijn[tracing]"
        )


def open_tracer(endpoint: str, role: str, stack: ExitStack) -> Tracer:
    """What takes spans to the collector there, until the stack closes; nothing where none is named.

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
