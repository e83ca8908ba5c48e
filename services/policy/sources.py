"""The CloudEvents sources that may publish an event type."""

from __future__ import annotations

from typing import Final

from services.policy.event_type import EventType, PrivacyEventKind
from services.policy.model import Policy
from services.policy.tagging import Event
from services.policy.tagging_error import TaggingFailed

OWN_SOURCE: Final = "/termijn/rights"
"""The source of Termijn's own answers to requests."""
HOLD_EVENTS: tuple[PrivacyEventKind, ...] = ("hold-placed", "hold-released")
"""The privacy events that keep a subject's data, or decide until when it is kept."""
_ERASURE_EVENTS: tuple[PrivacyEventKind, ...] = (
    "consent-withdrawn",
    "objection-raised",
    "objection-decided",
    "request-received",
    "identity-verified",
)


def check_source(event: Event, policy: Policy) -> None:
    """Check that an event's source may publish its type, when the event comes in.

    Raises:
        TaggingFailed: the source may not publish the type.
    """
    kind = policy.events.get(event.type)
    if kind is not None and not admits_source(kind, event.source):
        problem = f"is not allowed by the policy to publish {event.type}"
        raise TaggingFailed("unknown-source", "source", problem)


def admits_source(event: EventType, source: str) -> bool:
    """Return whether a source may publish an event type; every source may if the policy names none."""
    return not event.sources or any(_matches(pattern, source) for pattern in event.sources)


def needs_sources(event: EventType) -> bool:
    """Return whether any source may publish a type whose events can forbid or cause an erasure."""
    return not event.sources and bool(event.moves or event.act in (*HOLD_EVENTS, *_ERASURE_EVENTS))


def _matches(pattern: str, source: str) -> bool:
    return source.startswith(pattern[:-1]) if pattern.endswith("*") else source == pattern
