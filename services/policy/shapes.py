"""Shapes of events: what decides which holdings, clock changes and records an event makes.

All events of one shape differ only in identifiers, times and offsets. So what follows from an event is
compiled once for each shape, from an event with placeholders for its identifiers (`services.policy.plans`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from services.policy.conditions import condition_fields
from services.policy.event_fields import date_text
from services.policy.event_type import EventType
from services.policy.gap_text import PLACEHOLDERS
from services.policy.kept_dates import kept_date, kept_periods
from services.policy.model import Policy

# Texts that are the same in a message's key and in JSON, and in a clock's key, which is quoted, as well.
_is_plain_string = re.compile(r"[ !#-\[\]-~]{1,512}").fullmatch
_is_unquoted_string = re.compile(r"[A-Za-z0-9_.~-]{1,512}").fullmatch

Shape = tuple[object, ...]
_DECIDING_KINDS = (str, bool)
_LISTS = (list, tuple)
"""Lists, as messages have them, and as they are once they are read."""
TextCheck = Callable[[str], object]
KeepDate = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """The shapes of one event type's events."""

    switches: tuple[str, ...]
    """Fields whose values decide which holdings there are, and under which rules."""
    names: tuple[tuple[str, TextCheck], ...]
    """Fields with an identifier, each with the check of whether it may take the fast path."""
    dates: tuple[tuple[str, KeepDate], ...]
    """Fields with a date, each with what is kept of it."""
    lists: tuple[str, ...]
    """Fields with a list of identifiers."""
    subjects: tuple[tuple[str, TextCheck], ...]
    """Fields with a subject in full, as kind:id, each with the check of its id."""
    kinds: frozenset[str]
    """The kinds of subjects."""

    @classmethod
    def from_policy(cls, kind: EventType, policy: Policy) -> Shapes:
        """Return the shapes of an event type of the policy."""
        deciding = {
            name
            for holding in kind.holdings
            for name in (
                *(*holding.when, *holding.systems_when, holding.systems_from),
                *condition_fields(holding, policy),
            )
        }
        if kind.act:
            deciding.add("purpose")  # which must be one of the policy's
        subject_fields = (*kind.subject, *(part.subject for part in kind.holdings if part.subject))
        in_full = tuple({part.field for part in subject_fields if part.kind is None})
        identifiers = {
            name: spec.type
            for name, spec in kind.fields.items()
            if name not in deciding and not spec.one_of and spec.default is None
        }
        keys = {name for clock in policy.clocks.values() for name in clock.key}
        keys |= {name for part in kind.holdings for name in part.key.values()}
        keys |= {name for part in kind.moves for name in part.key.values()}

        def checked(names: Iterable[str]) -> tuple[tuple[str, TextCheck], ...]:
            return tuple(
                (name, _is_unquoted_string if name in keys else _is_plain_string) for name in names
            )

        names = checked(
            name for name, type_ in identifiers.items() if type_ == "string" and name not in in_full
        )
        lists = tuple(name for name, type_ in identifiers.items() if type_ == "strings")
        dates = tuple(name for name, spec in kind.fields.items() if spec.type == "date")
        open_ = {*(name for name, _ in names), *lists, *dates, *in_full}
        periods = kept_periods(kind, policy)
        return cls(
            switches=tuple(name for name in kind.fields if name not in open_),
            names=names,
            dates=tuple(
                (name, partial(kept_date, period=periods.get(name), policy=policy))
                for name in dates
            ),
            lists=lists,
            subjects=checked(in_full),
            kinds=frozenset(policy.subjects),
        )

    def find(self, data: Mapping[str, Any]) -> tuple[Shape, Sequence[str]] | None:
        """Return an event's shape and identifiers; None where it must take the slow path."""
        shape: list[object] = []
        values: list[str] = []
        for name, is_plain in self.names:
            value = data.get(name)
            if value is None or value == "":
                shape.append(False)
            elif value.__class__ is str and is_plain(value):
                shape.append(True)
                values.append(value)
            else:
                return None
        rare = self.subjects or self.lists or self.switches
        if rare and not self._find_slow(data, shape, values):
            return None
        if len(values) > 1 and len(set(values)) < len(values):
            return None  # one subject may be named twice, and then it is one record
        for name, keep in self.dates:  # last, since placeholders are in this order
            value = data.get(name)
            shape.append(value is not None and value != "")
            if value is None or value == "":
                continue
            try:
                values.append(keep(date_text(value)))
            except (ValueError, TypeError):
                return None
        return (tuple(shape), values) if len(values) <= len(PLACEHOLDERS) else None

    def _find_slow(self, data: Mapping[str, Any], shape: list[object], values: list[str]) -> bool:
        for name, is_plain in self.subjects:
            value = data.get(name)
            if value.__class__ is not str:
                return False
            kind, _, identifier = value.partition(":")
            if kind not in self.kinds or not is_plain(identifier):
                return False
            shape.append(kind)
            values.append(identifier)
        for name in self.lists:
            value = data.get(name)
            if not _is_plain_list(value, _is_unquoted_string):
                return False
            shape.append(None if value is None else len(value))
            values += value or ()
        for name in self.switches:
            value = data.get(name)
            if value.__class__ in _LISTS and _is_plain_list(value, _is_plain_string):
                value = tuple(value)
            elif value is not None and value.__class__ not in _DECIDING_KINDS:
                return False
            if value in values or (value.__class__ is tuple and not set(value).isdisjoint(values)):
                return False  # both may name one subject or one clock
            shape.append(value)
        return True

    def with_placeholders(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the data with a placeholder for each identifier, in the order of `find`."""
        unused = iter(PLACEHOLDERS)
        replaced = dict(data)
        for name, _ in self.names:
            if data.get(name):
                replaced[name] = next(unused)
        for name, _ in self.subjects:
            replaced[name] = f"{data[name].partition(':')[0]}:{next(unused)}"
        for name in self.lists:
            if data.get(name) is not None:
                replaced[name] = [next(unused) for _ in data[name]]
        for name, _ in self.dates:
            if data.get(name):
                replaced[name] = next(unused)
        return replaced


def _is_plain_list(value: Any, is_plain: TextCheck) -> bool:
    """Whether a value is None or a list of strings that pass the check."""
    return value is None or (
        value.__class__ in _LISTS
        and all(item.__class__ is str and is_plain(item) for item in value)
    )
