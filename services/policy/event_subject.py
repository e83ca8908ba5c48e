"""Find the data subject that an event names, and the keys by which systems find their rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from services.policy.event_type import EventType, SubjectField
from services.policy.model import Policy
from services.policy.tagged_event import DecisionValue, TaggedEvent
from services.policy.tagging_error import TaggingFailed


def identifying_keys(
    event_type: str, fields: Mapping[str, DecisionValue], policy: Policy
) -> dict[str, str]:
    """Return the fields of an event, with their values, that name one person's rows."""
    return {
        name: value
        for name, field in policy.events[event_type].fields.items()
        if field.identifies and isinstance(value := fields.get(name), str)
    }


def business_keys(
    tagged: TaggedEvent,
    policy: Policy,
    subject: str,
    *,
    names_subject: bool = True,
    excluded: Collection[str] = (),
) -> dict[str, str]:
    """Return the fields, with their values, by which a system finds a subject's rows of an event.

    They are the identifying fields without those `excluded`, and the field that named this subject, which
    is left out unless `names_subject`, for pseudonymised data. Any other field, such as a customer's
    number on a consumer's order, may be another person's. Keys belong to the event's own subject: a
    subject that is only mentioned has none.
    """
    if subject != tagged.subject:
        return {}
    fields = tagged.plan.plan.key_fields if tagged.plan else find_key_fields(tagged, policy)
    names = [name for name in fields.identifying if name not in excluded]
    if names_subject and fields.naming:
        names.append(fields.naming)
    return {name: str(tagged.decision_fields[name]) for name in names}


class KeyFields(NamedTuple):
    """The fields by which a system finds the rows of an event's own subject."""

    identifying: tuple[str, ...]
    """Those that name one person's rows."""
    naming: str | None
    """The business key that names the subject."""


def find_key_fields(tagged: TaggedEvent, policy: Policy) -> KeyFields:
    """Return the fields by which a system finds the rows of an event's own subject."""
    kind, deciding = policy.events[tagged.type], tagged.decision_fields
    naming = _naming_field(kind, deciding)
    return KeyFields(
        identifying=tuple(identifying_keys(tagged.type, deciding, policy)),
        naming=naming if naming and kind.fields[naming].business_key else None,
    )


def find_subject(
    kind: EventType, deciding: Mapping[str, DecisionValue], policy: Policy
) -> str | None:
    """Return the data subject that an event names; None for a type that names none.

    Raises:
        TaggingFailed: the event names none, though its type does.
    """
    if not kind.subject:
        return None
    for candidate in kind.subject:
        for subject in subjects_in(candidate, deciding):
            return _parse_subject(candidate, subject, policy)
    fields = " or ".join(candidate.field for candidate in kind.subject)
    raise TaggingFailed("unknown-subject", fields, "is missing: the event names no data subject")


def subjects_in(field: SubjectField, deciding: Mapping[str, DecisionValue]) -> Iterator[str]:
    """Return the subjects that a field of an event names, as `kind:id`."""
    value = deciding.get(field.field)
    values = value if isinstance(value, tuple) else (value,)
    for text in values:
        if isinstance(text, str):
            yield f"{field.kind}:{text}" if field.kind else text


def _naming_field(kind: EventType, deciding: Mapping[str, DecisionValue]) -> str | None:
    """Return the name of the field that names the event's own subject: the first that is present."""
    naming_fields = (
        candidate.field
        for candidate in kind.subject
        if isinstance(deciding.get(candidate.field), str)
    )
    return next(naming_fields, None)


def _parse_subject(field: SubjectField, subject: str, policy: Policy) -> str:
    """Return the subject that a field names, once its kind is known to be the policy's."""
    kind, _, identifier = subject.partition(":")
    if field.kind is None and (kind not in policy.subjects or not identifier):
        kinds = ", ".join(policy.subjects)
        raise TaggingFailed(
            "unknown-subject", field.field, f"is not kind:id, with a kind of {kinds}"
        )
    return subject
