"""Why the tagger rejects an event: the reasons of dead letters and of dry runs."""

from __future__ import annotations

from schemas.errors import DecodingFailed, MalformedEvent
from services.policy.tagging_error import TaggingFailed

TaggingError = DecodingFailed | MalformedEvent | TaggingFailed
TAGGING_ERRORS = (DecodingFailed, MalformedEvent, TaggingFailed)


def rejection_reason(cause: TaggingError) -> tuple[str, str]:
    """Return the reason as a code, and as a text; neither contains any of the event's data."""
    match cause:
        case DecodingFailed():
            return "undecodable", cause.why
        case MalformedEvent(key="ce_time" | "time"):
            return "impossible-time", str(cause)
        case MalformedEvent():
            return "malformed", str(cause)
        case TaggingFailed():
            return cause.reason, str(cause)
