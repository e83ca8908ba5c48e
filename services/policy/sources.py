"""Sources: who may publish an event type, by the CloudEvents `source` that its events carry."""

from __future__ import annotations

from typing import Final

from services.policy.model import EventType, Policy, PrivacyEventKind
from services.policy.tagging import Event, TaggingFailed

OWN_SOURCE: Final = "/termijn/rights"
"""Where Termijn's own answers to requests come from."""
HOLD_EVENTS: tuple[PrivacyEventKind, ...] = ("hold-placed", "hold-released")
"""Acts that keep a subject's data, or decide until when it is kept."""
_ERASURE_EVENTS: tuple[PrivacyEventKind, ...] = (
    "consent-withdrawn",
    "objection-raised",
    "objection-decided",
    "request-received",
    "identity-verified",
)


def check_source(event: Event, policy: Policy) -> None:
    """Make sure that an event's source may publish its type; it counts where an event comes in.

    Raises:
        TaggingFailed: it may not.
    """
    kind = policy.events.get(event.type)
    if kind is not None and not admits_source(kind, event.source):
        why = f"is none that the policy lets publish {event.type}"
        raise TaggingFailed("unknown-source", "source", why)


def admits_source(event: EventType, source: str) -> bool:
    """Whether a source may publish an event type; where none is named, every source may."""
    return not event.sources or any(_matches(named, source) for named in event.sources)


def needs_sources(event: EventType) -> bool:
    """Whether its events can forbid an erasure or cause one, whoever publishes them."""
    return not event.sources and bool(event.moves or event.act in (*HOLD_EVENTS, *_ERASURE_EVENTS))


def _matches(named: str, source: str) -> bool:
    return source.startswith(named[:-1]) if named.endswith("*") else source == named
