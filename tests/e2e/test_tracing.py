"""Two traces, an event's way in and a command's way out and back, exported to a collector over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from services.kafka.trace_context import trace_of_command
from tests.e2e.running import Running, write_events
from tests.e2e.test_agent import agent_of_orders, order

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
"""The example of W3C Trace Context."""
CANARY = "O1-canary"


class Collector:
    """A collector of spans by OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        """Each with the name of its service."""
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.bodies.append(body)
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    [name] = [
                        attribute.value.string_value
                        for attribute in resource.resource.attributes
                        if attribute.key == "service.name"
                    ]
                    for scope in resource.scope_spans:
                        collector.spans += [(name, span) for span in scope.spans]
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def of(self, trace_id: str) -> list[tuple[str, str, str]]:
        """Return service, name and parent of the spans of one trace, in the order of their start."""
        spans = [span for span in self.spans if span[1].trace_id.hex() == trace_id]
        spans.sort(key=lambda span: span[1].start_time_unix_nano)
        return [(service, span.name, span.parent_span_id.hex()) for service, span in spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


def test_an_event_and_a_command_can_be_followed(
    running: Running, collector: Collector, tmp_path: Path
) -> None:
    """All processing of a command is in one trace, whichever process does it; no span names a person."""
    letters = running.directory / "letters"
    running.setting("LETTERS", str(letters))
    running.setting("TERMIJN_TRACING", collector.url)
    running.start("tagger", "recorder", "deleter", "acknowledgements")
    running.until("the deleter has keys", (running.data / "keys" / "deleter.jwks").exists)
    path = Path(agent_of_orders(running, letters))
    document = {**yaml.safe_load(path.read_text("utf-8")), "tracing": collector.url}
    path.write_text(yaml.safe_dump(document), "utf-8")
    (letters / f"{CANARY}.txt").write_text("a letter", "utf-8")
    running.start("agent", options=("--config", str(path)))
    event = {**order(CANARY, "2020-03-15T13:00:00Z"), "traceparent": PARENT}
    file = write_events(running.directory / "orders.jsonl", [event])
    completed = running.history(file)
    assert completed.returncode == 0, completed.stderr
    running.until(
        "the erasure is proven",
        lambda: running.count("command", "system = 'orders' AND state = 'erased'") == 1,
        90,
    )
    [(command_id,)] = running.query(
        "SELECT command_id FROM command WHERE system = 'orders' AND action = 'erase'"
    )
    for role in list(running.processes):
        running.end(role)  # what waits is sent then
    way_in = collector.of("4bf92f3577b34da6a3ce929d0e0e4736")
    assert [span[:2] for span in way_in] == [
        ("termijn-tagger", "tag"),
        ("termijn-recorder", "record"),
    ]
    assert way_in[0][2] == "00f067aa0ba902b7"
    assert way_in[1][2] not in ("", "00f067aa0ba902b7")  # the tagger's own span
    trace = trace_of_command(str(command_id))
    way_out = collector.of(trace.trace_id)
    assert [span[:2] for span in way_out] == [
        ("termijn-deleter", "command"),
        ("termijn-agent", "obey"),
        ("termijn-acknowledgements", "settle"),
    ]
    assert {span[2] for span in way_out} == {trace.span_id}
    assert not any(CANARY.encode() in body for body in collector.bodies)
