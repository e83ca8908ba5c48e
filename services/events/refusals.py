"""Why the tagger refuses an event: the same words on a dead letter and in a rehearsal."""

from __future__ import annotations

from schemas.errors import MalformedEvent, Undecodable
from services.policy.tagging import Untaggable

Refusal = Undecodable | MalformedEvent | Untaggable
REFUSALS = (Undecodable, MalformedEvent, Untaggable)


def told(cause: Refusal) -> tuple[str, str]:
    """The reason in a word, and in words; never with anything of the event's data."""
    match cause:
        case Undecodable():
            return "undecodable", cause.why
        case MalformedEvent(key="ce_time" | "time"):
            return "impossible-time", str(cause)
        case MalformedEvent():
            return "malformed", str(cause)
        case Untaggable():
            return cause.reason, str(cause)
