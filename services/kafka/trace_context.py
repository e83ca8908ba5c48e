"""Trace context in the headers of messages (W3C Trace Context; CloudEvents' distributed tracing extension).

There are two kinds of traces. An incoming event continues its publisher's trace through tagger and
recorder. Each command has a trace of its own, through agent and acknowledgement: it starts years later,
when the first trace is no longer stored. Its id follows from the command's id, so that repetitions are in
the same trace.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
_PREFIX = "ce_"
_NAMES = frozenset(prefix + name for prefix in ("", _PREFIX) for name in (TRACEPARENT, TRACESTATE))
_MAX_STATE_CHARS = 512
_SAMPLED = "01"
_match_traceparent = re.compile(
    r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
).fullmatch
_DOMAIN = b"termijn trace 1\x00"

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A position in a trace."""

    parent: str
    """`traceparent`: version, trace id, id of the span that it comes from, flags."""
    state: str | None = None
    """`tracestate`: data of the tracing systems themselves."""

    @property
    def trace_id(self) -> str:
        """The trace's id, 32 hexadecimal digits."""
        return self.parent[3:35]

    @property
    def span_id(self) -> str:
        """The id of the span that it comes from, 16 hexadecimal digits."""
        return self.parent[36:52]

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The headers of a message with this trace."""
        headers = [(TRACEPARENT, self.parent.encode())]
        if self.state:
            headers.append((TRACESTATE, self.state.encode()))
        return tuple(headers)


def extract(headers: Headers) -> Trace | None:
    """Return the trace of a message's headers, or None; malformed headers are ignored.

    The plain headers take precedence over those of CloudEvents (`ce_traceparent`), which may be older.
    """
    trace_headers: dict[str, bytes | None] = {}
    for (
        name,
        value,
    ) in headers:  # of every event: a comprehension over the ends of names takes thrice as long
        if name in _NAMES:
            trace_headers[name] = value
    if not trace_headers:
        return None
    for prefix in ("", _PREFIX):
        parent = _text(trace_headers.get(prefix + TRACEPARENT))
        if parent is not None and _match_traceparent(parent):
            state = _text(trace_headers.get(prefix + TRACESTATE))
            is_short = state is not None and len(state) <= _MAX_STATE_CHARS
            return Trace(parent=parent, state=state if is_short else None)
    return None


def trace_of_command(command_id: str) -> Trace:
    """Return the trace of a command, which follows from its id and is sampled."""
    digest = hashlib.sha256(_DOMAIN + command_id.encode()).hexdigest()
    return Trace(parent=f"00-{digest[:32]}-{digest[32:48]}-{_SAMPLED}")


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode("ascii")
    except UnicodeDecodeError:
        return None
