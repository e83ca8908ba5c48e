"""Checks of names and of the fields of events, as several parts of a policy need them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from services.policy.event_type import EventType, Field
from services.policy.nearest_name import did_you_mean
from services.policy.yaml_source import DocumentPath, PolicyError


def require_defined(
    path: DocumentPath, name: str | None, defined: Mapping[str, object]
) -> Iterator[PolicyError]:
    """Check that a name, if there is one, is a key of the section that defines it."""
    if name is not None and name not in defined:
        yield path, f"{name!r} is not defined{did_you_mean(name, defined)}"


def require_key_field(
    path: DocumentPath, clock: str, name: str, field: str, event: EventType
) -> Iterator[PolicyError]:
    """Check that an event has the field with a key field of a clock, under whatever name."""
    if field in event.fields:
        return
    renamed = "" if field == name else f", by `key` {field!r}"
    yield (
        path,
        f"the clock {clock} has the key field {name!r}{renamed}, which this event does not have;"
        f" add it to `fields`, or name its field in `key`{did_you_mean(field, event.fields)}",
    )


def require_possible_value(
    path: DocumentPath, values: Iterable[str | bool], field: Field | None
) -> Iterator[PolicyError]:
    """Check that a field can have these values: a condition that is never met would hide its holding."""
    for value in values:
        if field is None:
            continue
        if (field.type == "boolean") != isinstance(value, bool):
            yield path, _wrong_kind(value)
        elif field.one_of and value not in field.one_of:
            nearest = did_you_mean(str(value), field.one_of)
            yield path, f"{value!r} is not one of {', '.join(field.one_of)}{nearest}"


def _wrong_kind(value: str | bool) -> str:
    """Return what is wrong with a value of another kind than its field."""
    if isinstance(value, bool):
        read = ("true", "yes or on") if value else ("false", "no or off")
        return f"is {read[0]}, as which YAML also reads {read[1]}, and not text; write it in quotes"
    return f"{value!r} is text, and the field is a boolean; write true or false, without quotes"


def check_no_date(
    path: DocumentPath, names: Iterable[str | None], event: EventType
) -> Iterator[PolicyError]:
    """Check that no field is a date: a date names no person and no clock, and cannot be a condition."""
    for name in names:
        field = event.fields.get(name or "")
        if field and field.type == "date":
            yield (
                path,
                f"{name!r} is a date, which is allowed only for an anchor and for `at` of a move",
            )
