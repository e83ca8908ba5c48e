"""Rules for the names in a policy file, which become parts of topics, key files and Avro schemas.

A system's name is part of topics and of the names of key files. An event type is the name of its topic.
A subject is written `kind:id` and a clock `clock:key`. A field is a field of an Avro record.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from services.policy.model import Policy
from services.policy.yaml_source import PolicyError

MAX_NAME_LENGTH = 100
"""Characters of a name, except an event type, which may have Kafka's 249 less its topic's `.v1`."""
_MAX_EVENT_TYPE_LENGTH = 249 - len(".v1")

_ALLOWED = f"letters, digits and ._- only, at most {MAX_NAME_LENGTH}"
SYSTEM_PATTERN = "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$"
EVENT_TYPE_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]*$"
KIND_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]*$"
FIELD_PATTERN = "^[A-Za-z_][A-Za-z0-9_]*$"
_SYSTEM = re.compile(SYSTEM_PATTERN)
_EVENT_TYPE = re.compile(EVENT_TYPE_PATTERN)
_KIND = re.compile(KIND_PATTERN)
_FIELD = re.compile(FIELD_PATTERN)

_RESERVED_TOPIC_PREFIX = "retention."
_RESERVED_SYSTEMS = ("deleter",)


def check_names(policy: Policy) -> Iterator[PolicyError]:
    """Return every name that could not be used, which would otherwise show only at its first use."""
    for key, name in (("policy", policy.policy), ("version", policy.version)):
        yield from _check_plain((key,), name)
    for section in ("purposes", "bases", "categories", "rules", "clocks"):
        for name in getattr(policy, section):
            yield from _check_plain((section, name), name, also=":" if section == "clocks" else "")
    for name in policy.controller.years:
        yield from _check_plain(("controller", "years", name), name)
    for name in policy.subjects:
        if not _KIND.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
            rule = f"{_ALLOWED}; subjects are written kind:id"
            yield ("subjects", name), f"is not a valid name of a kind of data subject: {rule}"
    for name in policy.systems:
        if not _SYSTEM.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
            rule = f"small {_ALLOWED}; it is part of topics' names"
            yield ("systems", name), f"is not a valid name of a system: {rule}"
        if name in _RESERVED_SYSTEMS:
            yield ("systems", name), "is Termijn's own name: its keys would be the controller's"
    yield from _check_events(policy)
    yield from _check_colliding_topics("systems", policy.systems)
    yield from _check_colliding_topics("events", policy.events)


def _check_events(policy: Policy) -> Iterator[PolicyError]:
    for name, event in policy.events.items():
        if not _EVENT_TYPE.fullmatch(name) or len(name) > _MAX_EVENT_TYPE_LENGTH:
            max_length = _MAX_EVENT_TYPE_LENGTH
            rule = (
                f"letters, digits and ._- only, at most {max_length}; it is the name of its topic"
            )
            yield ("events", name), f"is not a valid event type: {rule}"
        if name.startswith(_RESERVED_TOPIC_PREFIX):
            yield (
                ("events", name),
                f"begins with {_RESERVED_TOPIC_PREFIX}, as Termijn's own topics do",
            )
        for field in event.fields:
            if not _FIELD.fullmatch(field) or len(field) > MAX_NAME_LENGTH:
                rule = (
                    f"letters, digits and _ only, at most {MAX_NAME_LENGTH}; it is a name in Avro"
                )
                yield ("events", name, "fields", field), f"is not a valid name of a field: {rule}"


def _check_colliding_topics(section: str, names: Mapping[str, object]) -> Iterator[PolicyError]:
    """Find names that differ only in dots and underscores: Kafka refuses two such topics."""
    first_names: dict[str, str] = {}
    for name in names:
        earlier_name = first_names.setdefault(name.replace(".", "_"), name)
        if earlier_name != name:
            yield (section, name), f"is to Kafka the same topic name as {earlier_name}"


def _check_plain(path: tuple[str, ...], name: str, *, also: str = "") -> Iterator[PolicyError]:
    if _is_plain(name, also):
        return
    exclusion = f" and no {also!r}" if also else ""
    yield path, f"is not a valid name: one to {MAX_NAME_LENGTH} visible characters{exclusion}"


def _is_plain(name: str, also: Iterable[str]) -> bool:
    return (
        0 < len(name) <= MAX_NAME_LENGTH
        and name == name.strip()
        and not any(
            unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in name
        )
        and not any(character in name for character in also)
    )
