"""Compare two policies: which entries and keys were added, removed or changed, as values and as text.

Every key of the policy file is compared, with its default where it is not set. So two policies that differ
only in how they are written, in comments or in the order of entries, do not differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from services.policy.loader import policy_values
from services.policy.model import Policy

_KINDS: Final[Mapping[str, str]] = {
    "purposes": "purpose",
    "bases": "legal basis",
    "categories": "category",
    "subjects": "kind of data subject",
    "systems": "system",
    "clocks": "retention clock",
    "rules": "rule",
    "events": "event type",
    "titles": "titles in",
}
"""What an entry of each section is called, in the order in which differences are listed."""
_HOLDING: Final = ", holding "


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """A difference between two policies: an entry of a section, or a key of one."""

    change: Literal["added", "removed", "changed"]
    section: str
    """The section, such as `rules`; empty for a key outside any section, such as `verify_one_in`."""
    name: str
    """The entry's name, such as `R1`, for a holding its event type, `, holding` and its purpose;
    empty for a section that has no entries, such as `controller`."""
    key: str
    """The key in the entry, with dots; empty if the entry itself was added or removed."""
    before: Any
    """The former JSON value; None if there was none."""
    after: Any
    """The new JSON value; None if there is none."""

    def in_words(self) -> str:
        """Return the difference as one line, such as `rule R1: term is P1Y, was P2Y`."""
        kind = _KINDS.get(self.section, self.section)
        entry = f"{kind} {self.name}".strip()
        if not self.key:
            return f"{entry} is {'new' if self.change == 'added' else self.change}"
        prefix = f"{entry}: " if entry else ""
        return f"{prefix}{self.key} is {_in_words(self.after)}, was {_in_words(self.before)}"

    def as_json(self) -> dict[str, Any]:
        """Return the difference as JSON values, with its words under `what`."""
        return {
            "change": self.change,
            "section": self.section,
            "name": self.name,
            "key": self.key,
            "before": self.before,
            "after": self.after,
            "what": self.in_words(),
        }


def compare_policies(old: Policy, new: Policy) -> tuple[PolicyChange, ...]:
    """Return every difference, by section and name; none for equal policies."""
    before, after = policy_values(old), policy_values(new)
    changes: list[PolicyChange] = []
    for section in (name for name in before if name not in _KINDS):
        is_scalar = not isinstance(before[section] or after[section], Mapping)
        place = ("", "", section) if is_scalar else (section, "", "")
        changes += _compare(place, before[section], after[section])
    for section in _KINDS:
        old_entries, new_entries = before[section], after[section]
        if section == "events":
            old_entries, new_entries = map(_with_named_holdings, (old_entries, new_entries))
        for name in sorted(old_entries.keys() | new_entries.keys()):
            event_type = name.partition(_HOLDING)[0]
            if event_type in old_entries.keys() & new_entries.keys() or event_type == name:
                place = (section, name, "")
                changes += _compare(place, old_entries.get(name), new_entries.get(name))
    return tuple(changes)


def _with_named_holdings(events: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event types, with their holdings as entries of their own, so that they can be matched."""
    entries: dict[str, Any] = {}
    for event_type, entry in events.items():
        entries[event_type] = {key: value for key, value in entry.items() if key != "holdings"}
        for holding in entry["holdings"]:
            name = f"{event_type}{_HOLDING}{holding['purpose']}"
            if holding["subject"]:
                name += f" of {holding['subject']['field']}"
            if holding["for_kinds"]:
                name += f" for {' and '.join(holding['for_kinds'])}"
            same = sum(1 for other in entries if other == name or other.startswith(f"{name} ("))
            entries[f"{name} ({same + 1})" if same else name] = holding
    return entries


def _compare(place: tuple[str, str, str], before: Any, after: Any) -> Iterator[PolicyChange]:
    section, name, key = place
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for part in sorted(before.keys() | after.keys()):
            inner = f"{key}.{part}" if key else part
            yield from _compare((section, name, inner), before.get(part), after.get(part))
        return
    change: Literal["added", "removed", "changed"] = "changed"
    if not key and before is None:
        change = "added"
    elif not key and after is None:
        change = "removed"
    yield PolicyChange(
        change=change, section=section, name=name, key=key, before=before, after=after
    )


def _in_words(value: Any) -> str:
    match value:
        case None | "" | [] | {}:
            return "not set"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            parts = (f"{name} {_in_words(part)}" for name, part in value.items() if part)
            return f"({', '.join(parts)})"
        case str():
            return value
        case Sequence():
            return " and ".join(map(_in_words, value))
    return str(value)
