"""Trace context: what messages carry, and what a command's is."""

from __future__ import annotations

import re

import pytest

from schemas.cloudevents import from_headers, parse_structured, to_headers
from services.kafka.trace_context import Trace, extract, trace_of_command

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
"""The example of W3C Trace Context."""
OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-00"


def test_a_message_has_its_trace() -> None:
    """The headers are those of the W3C."""
    extracted = extract([("ce_id", b"1"), ("traceparent", PARENT.encode()), ("tracestate", b"a=1")])
    assert extracted == Trace(parent=PARENT, state="a=1")
    assert extracted.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert extracted.span_id == "00f067aa0ba902b7"
    assert extracted.headers == (("traceparent", PARENT.encode()), ("tracestate", b"a=1"))


def test_the_plain_trace_header_wins_over_that_of_cloudevents() -> None:
    """It is newer: the process that forwarded the message set it."""
    events = ("ce_traceparent", OTHER.encode())
    assert extract([events]) == Trace(parent=OTHER)
    assert extract([events, ("traceparent", PARENT.encode())]) == Trace(parent=PARENT)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        None,
        b"\xff\xfe",
        b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n",
    ],
)
def test_a_malformed_trace_is_ignored(value: bytes | None) -> None:
    """A malformed header raises nothing."""
    assert extract([("traceparent", value)]) is None


def test_a_trace_state_that_is_too_long_is_dropped() -> None:
    """512 characters are allowed."""
    headers = [("traceparent", PARENT.encode()), ("tracestate", b"a" * 513)]
    assert extract(headers) == Trace(parent=PARENT)


def test_the_trace_of_a_command_follows_from_its_id() -> None:
    """SHA-256 of "termijn trace 1", a zero byte and the id, written by hand; others have another."""
    trace = trace_of_command("0d7c6d3a-1f6b-5d55-8f6a-0a5e5f1f3c11")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace.parent)
    assert trace == trace_of_command("0d7c6d3a-1f6b-5d55-8f6a-0a5e5f1f3c11")
    assert trace.trace_id != trace_of_command("1d7c6d3a-1f6b-5d55-8f6a-0a5e5f1f3c11").trace_id


def test_an_event_from_a_file_is_published_with_its_trace() -> None:
    """CloudEvents' binding to Kafka gives its form; one that is not text is left out."""
    line = (
        '{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-03-15T13:00:00Z",'
        f'"traceparent":"{PARENT}","tracestate":7,"data":{{}}}}'
    )
    event = parse_structured(line)
    assert event.traceparent == PARENT
    assert event.tracestate is None
    headers = to_headers(event)
    assert ("ce_traceparent", PARENT.encode()) in headers
    assert extract(headers) == Trace(parent=PARENT)
    assert from_headers(headers, {}) == event
