"""Rules for the names in a policy file, which become parts of topics, key files and Avro schemas.

A system's name is part of topics and of the names of key files. An event type is the name of its topic.
A subject is written `kind:id` and a clock `clock:key`. A field is a field of an Avro record.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from services.policy.model import Policy

Found = tuple[tuple[str | int, ...], str]

MAX_NAME_LENGTH = 100
"""Characters of a name, but for an event type, which may have Kafka's 249 less its topic's `.v1`."""
_MAX_EVENT_TYPE_LENGTH = 249 - len(".v1")

_SYSTEM = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_EVENT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KIND = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_RESERVED_TOPIC_PREFIX = "retention."
_RESERVED_SYSTEMS = ("deleter",)


def check_names(policy: Policy) -> Iterator[Found]:
    """Return every name that could not be used, which would otherwise show only at its first use."""
    for where, name in (("policy", policy.policy), ("version", policy.version)):
        yield from _check_plain((where,), name)
    for section in ("purposes", "bases", "categories", "rules", "clocks"):
        for name in getattr(policy, section):
            yield from _check_plain((section, name), name, also=":" if section == "clocks" else "")
    for name in policy.subjects:
        if not _KIND.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
            why = f"letters, digits and ._- only, at most {MAX_NAME_LENGTH}: subjects are written kind:id"
            yield ("subjects", name), f"is no name of a kind of data subject: {why}"
    for name in policy.systems:
        if not _SYSTEM.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
            why = f"small letters, digits and ._- only, at most {MAX_NAME_LENGTH}: topics have it in theirs"
            yield ("systems", name), f"is no name of a system: {why}"
        if name in _RESERVED_SYSTEMS:
            yield ("systems", name), "is Termijn's own name: its keys would be the controller's"
    yield from _check_events(policy)
    yield from _check_colliding_topics("systems", policy.systems)
    yield from _check_colliding_topics("events", policy.events)


def _check_events(policy: Policy) -> Iterator[Found]:
    for name, event in policy.events.items():
        if not _EVENT_TYPE.fullmatch(name) or len(name) > _MAX_EVENT_TYPE_LENGTH:
            why = f"letters, digits and ._- only, at most {_MAX_EVENT_TYPE_LENGTH}: its topic is called so"
            yield ("events", name), f"is no event type: {why}"
        if name.startswith(_RESERVED_TOPIC_PREFIX):
            yield (
                ("events", name),
                f"begins with {_RESERVED_TOPIC_PREFIX}, as Termijn's own topics do",
            )
        for field in event.fields:
            if not _FIELD.fullmatch(field) or len(field) > MAX_NAME_LENGTH:
                why = (
                    f"letters, digits and _ only, at most {MAX_NAME_LENGTH}: no schema has another"
                )
                yield ("events", name, "fields", field), f"is no name of a field: {why}"


def _check_colliding_topics(section: str, names: Mapping[str, object]) -> Iterator[Found]:
    """Find names that differ only in dots and underscores: Kafka refuses two such topics."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(name.replace(".", "_"), name)
        if other != name:
            yield (section, name), f"is to Kafka the same name as {other}"


def _check_plain(path: tuple[str, ...], name: str, *, also: str = "") -> Iterator[Found]:
    if _is_plain(name, also):
        return
    without = f" and no {also!r}" if also else ""
    yield path, f"is no name: one to {MAX_NAME_LENGTH} characters that can be seen{without}"


def _is_plain(name: str, also: Iterable[str]) -> bool:
    return (
        0 < len(name) <= MAX_NAME_LENGTH
        and name == name.strip()
        and not any(
            unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in name
        )
        and not any(character in name for character in also)
    )
