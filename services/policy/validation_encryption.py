"""Check a policy's encrypted fields: each key is destroyed in time, and not before its data is due.

A system that holds keys represents the Kafka log, or the part of it whose terms end together. An erasure
command to it, as to any system, destroys the record's key once the last of the record's holdings there
has ended, and never before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.policy.conditions import variants
from services.policy.event_type import EventType, HoldingRule
from services.policy.model import Policy
from services.policy.yaml_source import PolicyError

_PATH = re.compile(r"\w+(\[\]|\{\})*(\.\w+(\[\]|\{\})*)*", re.ASCII)


def key_systems(policy: Policy) -> frozenset[str]:
    """Return the systems that hold keys instead of data."""
    return frozenset(name for name, system in policy.systems.items() if system.holds == "keys")


def is_within(field: str, path: str) -> bool:
    """Return whether a path in an event is that field, or lies within it."""
    return path == field or path.startswith((f"{field}.", f"{field}[", f"{field}{{"))


def check_encryption(policy: Policy) -> Iterator[PolicyError]:
    """Return every problem by which a key would be destroyed too early, too late or never."""
    keys = key_systems(policy)
    for name in sorted(keys):
        system = policy.systems[name]
        if system.role != "own" or system.reread != "system":
            yield (
                ("systems", name, "holds"),
                "a system that holds keys needs role `own` and reread `system`",
            )
    for name, event in policy.events.items():
        for path, problem in check_event(event, keys, policy):
            yield ("events", name, *path), problem


def check_event(event: EventType, keys: frozenset[str], policy: Policy) -> Iterator[PolicyError]:
    served: set[str] = set()
    for index, holding in enumerate(event.holdings):
        key_holders = set(keys).intersection(holding.systems)
        served |= key_holders
        for problem in _undecidable_fields(holding, key_holders, keys, policy):
            yield ("holdings", index, "systems"), problem
    named_systems = {system for systems in event.encrypted.values() for system in systems}
    for system in sorted(served - named_systems):
        yield ("encrypted",), f"has no field whose key {system} could hold"
    for path, systems in event.encrypted.items():
        for problem in _field_problems(path, systems, event, served, keys):
            yield ("encrypted", path), problem
    for index, path in enumerate(event.plain):
        if not _PATH.fullmatch(path):
            yield ("plain", index), f"{path!r} is not a field such as lines[].product"
        if path in event.encrypted:
            yield ("plain", index), f"{path} is encrypted"


def _undecidable_fields(
    holding: HoldingRule, key_holders: set[str], keys: frozenset[str], policy: Policy
) -> Iterator[str]:
    by_field = {
        system
        for by_value in holding.systems_when.values()
        for systems in by_value.values()
        for system in systems
    }
    if keys & by_field:
        yield "a system that holds keys must be in `systems`, not in `systems_when`"
    if not key_holders:
        return
    for name in variants(holding.rule, policy.rules):
        if name in policy.rules and policy.rules[name].pseudonymise:
            yield f"{name} pseudonymises, and encrypted fields of the log cannot be"
    if holding.subject:
        yield "keys are the event's own subject's, and another subject's data has none"


def _field_problems(
    path: str,
    systems: tuple[str, ...],
    event: EventType,
    served: set[str],
    keys: frozenset[str],
) -> Iterator[str]:
    if not _PATH.fullmatch(path):
        yield f"{path!r} is not a field such as lines[].product"
    if deciding := [
        name for name in event.fields if is_within(name, path) or is_within(path, name)
    ]:
        yield f"{deciding[0]} is a decision field and must stay readable"
    if event.act:
        yield "an event with an act cannot be encrypted, since Termijn itself reads it"
    if not systems:
        yield "names no system that holds its key"
    for system in systems:
        if system not in keys:
            yield f"{system!r} is not a system that holds keys"
        elif system not in served:
            yield f"no holding is in {system}, so its key would never be destroyed"
