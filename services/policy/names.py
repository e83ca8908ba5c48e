"""Names that can work: what Kafka, key files, schemas and `kind:id` leave of what a person may think of.

A system's name is part of topics and of the names of key files, an event type is its topic, a subject
is written `kind:id` and a clock `clock:key`, and a field is one of an Avro record.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from services.policy.model import Policy

Found = tuple[tuple[str | int, ...], str]

LONGEST = 100
"""No name is longer, in characters; of an event type, what Kafka's 249 leave beside its `.v1`."""
_LONGEST_TYPE = 249 - len(".v1")

_SYSTEM = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_EVENT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KIND = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_OWN_TOPICS = "retention."
_OWN_KEYS = ("deleter",)


def check_names(policy: Policy) -> Iterator[Found]:
    """Every name that would be found out only where it is first used."""
    for where, name in (("policy", policy.policy), ("version", policy.version)):
        yield from _plain((where,), name)
    for section in ("purposes", "bases", "categories", "rules", "clocks"):
        for name in getattr(policy, section):
            yield from _plain((section, name), name, also=":" if section == "clocks" else "")
    for name in policy.subjects:
        if not _KIND.fullmatch(name) or len(name) > LONGEST:
            why = f"letters, digits and ._- only, at most {LONGEST}: subjects are written kind:id"
            yield ("subjects", name), f"is no name of a kind of data subject: {why}"
    for name in policy.systems:
        if not _SYSTEM.fullmatch(name) or len(name) > LONGEST:
            why = f"small letters, digits and ._- only, at most {LONGEST}: topics have it in theirs"
            yield ("systems", name), f"is no name of a system: {why}"
        if name in _OWN_KEYS:
            yield ("systems", name), "is Termijn's own name: its keys would be the controller's"
    yield from _check_events(policy)
    yield from _check_twins("systems", policy.systems)
    yield from _check_twins("events", policy.events)


def _check_events(policy: Policy) -> Iterator[Found]:
    for name, event in policy.events.items():
        if not _EVENT_TYPE.fullmatch(name) or len(name) > _LONGEST_TYPE:
            why = f"letters, digits and ._- only, at most {_LONGEST_TYPE}: its topic is called so"
            yield ("events", name), f"is no event type: {why}"
        if name.startswith(_OWN_TOPICS):
            yield ("events", name), f"begins with {_OWN_TOPICS}, as Termijn's own topics do"
        for field in event.fields:
            if not _FIELD.fullmatch(field) or len(field) > LONGEST:
                why = f"letters, digits and _ only, at most {LONGEST}: no schema has another"
                yield ("events", name, "fields", field), f"is no name of a field: {why}"


def _check_twins(section: str, names: Mapping[str, object]) -> Iterator[Found]:
    """Kafka refuses a topic whose name differs from another's only in dots and underscores."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(name.replace(".", "_"), name)
        if other != name:
            yield (section, name), f"is to Kafka the same name as {other}"


def _plain(path: tuple[str, ...], name: str, *, also: str = "") -> Iterator[Found]:
    if _is_plain(name, also):
        return
    without = f" and no {also!r}" if also else ""
    yield path, f"is no name: one to {LONGEST} characters that can be seen{without}"


def _is_plain(name: str, also: Iterable[str]) -> bool:
    return (
        0 < len(name) <= LONGEST
        and name == name.strip()
        and not any(unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") for one in name)
        and not any(one in name for one in also)
    )
