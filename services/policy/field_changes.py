"""Which changes of an event type's fields recorded events allow: those that no stored decision needs.

A recorded event is read again under each active policy, from the decision fields that it was stored with. A
change fits if every one of them can still be read, decides the same, and gives its systems the same keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from services.policy.conditions import condition_fields, rules_of
from services.policy.event_type import EventType, Field
from services.policy.loader import structure_hashes
from services.policy.model import Policy

_OF_ACTS: Final = frozenset(
    {"purpose", "request_id", "objection_id", "hold_id", "right", "outcome", "records"}
)
"""The fields that a privacy event is read from."""


def unfit_types(old: Policy, new: Policy) -> dict[str, tuple[str, ...]]:
    """Return the types of `old` that mean something else in `new`, each with what is wrong with its fields.

    Without such lines the type's subjects or clocks differ, or the type is missing.
    """
    before, after = structure_hashes(old), structure_hashes(new)
    bare_before, bare_after = (structure_hashes(each, with_fields=False) for each in (old, new))
    unfit: dict[str, tuple[str, ...]] = {}
    for name, structure in before.items():
        if after.get(name) == structure:
            continue
        problems: tuple[str, ...] = ()
        if bare_after.get(name) == bare_before[name]:
            problems = tuple(_field_problems(name, old, new))
            if not problems:
                continue
        unfit[name] = problems
    return unfit


def _field_problems(name: str, old: Policy, new: Policy) -> Iterator[str]:
    before, after = old.events[name], new.events[name]
    deciding = _deciding_fields(before, old) | _deciding_fields(after, new)
    for field in sorted(before.fields.keys() | after.fields.keys()):
        was, is_ = before.fields.get(field), after.fields.get(field)
        decides = field in deciding
        if was is None and is_ is not None:
            problem = _added(is_, decides)
        elif was is not None and is_ is None:
            problem = _removed(was, decides)
        else:
            assert was is not None
            assert is_ is not None
            problem = _changed(was, is_, decides)
        if problem:
            yield f"{field} {problem}"


def _added(field: Field, decides: bool) -> str | None:
    if decides:
        return (
            "is new and decides about holdings, clocks or keys, and recorded events do not have it"
        )
    if field.required and field.default is None:
        return "is new and required, and recorded events do not have it; set `required: false`"
    return None


def _removed(field: Field, decides: bool) -> str | None:
    if decides:
        return (
            "is removed, and it decides about holdings, clocks or keys of recorded events; keep it"
        )
    if field.business_key or field.identifies:
        return "is removed, and systems find the rows of recorded events by it; keep it"
    return None


def _changed(was: Field, is_: Field, decides: bool) -> str | None:
    if was.type != is_.type:
        return (
            f"is of type {is_.type}, and recorded events have it as {was.type}; add a field instead"
        )
    if is_.required and not was.required and is_.default is None:
        return "is now required, and recorded events may lack it; set `required: false`"
    if is_.one_of and not set(was.one_of or ("",)) <= set(is_.one_of):
        return "has fewer values in `one_of`, and recorded events may have the others; keep them"
    if decides and was.default != is_.default:
        return "has another default, and recorded events were decided by the former; keep it"
    if was.business_key and not (is_.business_key or is_.identifies):
        return "is not a business key any more, and systems find rows of recorded events by it; keep it"
    return None


def _deciding_fields(event: EventType, policy: Policy) -> frozenset[str]:
    """Return the fields by which an event's subjects, holdings, clocks, reports and keys are found."""
    subjects = (*event.subject, *(item.subject for item in event.holdings if item.subject))
    names = {subject.field for subject in subjects}
    names |= {name for name, field in event.fields.items() if field.identifies}
    for holding in event.holdings:
        names |= {*holding.when, *holding.systems_when} | condition_fields(holding, policy)
        names |= {holding.systems_from} if holding.systems_from else set()
        for rule in rules_of(holding, policy):
            for part in policy.rules[rule].parts:
                if part.anchor.field:
                    names.add(part.anchor.field)
                if part.anchor.clock:
                    keys = policy.clocks[part.anchor.clock].key
                    names |= {holding.key.get(key, key) for key in keys}
    for move in event.moves:
        names |= {move.key.get(key, key) for key in policy.clocks[move.clock].key}
        names |= {move.at} if move.at else set()
    if event.act:
        names |= _OF_ACTS
    if event.provenance:
        names |= {*event.provenance.when, *event.provenance.unless}
    return frozenset(names)
