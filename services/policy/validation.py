"""Check a policy beyond its JSON Schema: names are defined, periods are valid, keys fit their clocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo, available_timezones

from services.policy.dpv import check_dpv_terms
from services.policy.model import Policy
from services.policy.names import check_names
from services.policy.nearest_name import did_you_mean
from services.policy.rule import FIXED_ENDS
from services.policy.validation_conditions import check_conditions
from services.policy.validation_encryption import check_encryption
from services.policy.validation_events import check_event
from services.policy.validation_fields import require_defined
from services.policy.validation_periods import check_period
from services.policy.validation_rules import check_rules
from services.policy.validation_terms import check_anchor_fields
from services.policy.validation_withdrawal import check_kept_until_withdrawal
from services.policy.yaml_source import PolicyError

_YEAR_END = re.compile(r"(0?[1-9]|1[0-2])-(0?[1-9]|[12][0-9]|3[01])", re.ASCII)
_NOT_A_YEAR_END = "is not a month and a day such as 12-31"
_TITLED_SECTIONS = ("purposes", "bases", "categories", "subjects", "systems", "clocks", "rules")
"""The sections whose titles appear in letters, certificates and privacy statements."""
_NAMED_IN_WORDS = ("fields", "outcomes")
"""What the text of a term names, by its own name where it has no title."""


def validate_policy(policy: Policy) -> Iterator[PolicyError]:
    """Return every problem that the JSON Schema cannot express, each with its path in the file."""
    yield from check_names(policy)
    yield from check_dpv_terms(policy)
    yield from _check_controller(policy)
    for name, system in policy.systems.items():
        for key in ("lead_time", "acknowledge_within", "verify_after"):
            yield from check_period(("systems", name, key), getattr(system, key), exact=True)
        if system.backups is not None:
            yield from check_period(("systems", name, "backups"), system.backups)
        if system.outside_eea and not system.safeguard:
            yield ("systems", name, "outside_eea"), "a system outside the EEA needs a safeguard"
    yield from check_rules(policy)
    yield from check_conditions(policy)
    yield from _check_clocks(policy)
    yield from _check_proof(policy)
    if policy.verify_one_in < 1:
        yield ("verify_one_in",), f"is not 1 or more, got {policy.verify_one_in}; 1 verifies all"
    for name, event in policy.events.items():
        for path, problem in check_event(event, policy):
            yield ("events", name, *path), problem
    yield from check_anchor_fields(policy)
    yield from check_kept_until_withdrawal(policy)
    yield from check_encryption(policy)
    yield from _check_titles(policy)


def _check_titles(policy: Policy) -> Iterator[PolicyError]:
    titled = {
        f"{section}.{name}" for section in _TITLED_SECTIONS for name in getattr(policy, section)
    }
    for event in policy.events.values():
        titled |= {f"fields.{name}" for name in event.fields}
        titled |= {f"outcomes.{move.outcome}" for move in event.moves if move.outcome}
    for language, titles in policy.titles.items():
        for key in titles:
            if key not in titled:
                sections = ", ".join((*_TITLED_SECTIONS, *_NAMED_IN_WORDS))
                problem = f"no entry with a title has this name{did_you_mean(key, titled)}"
                problem += f"; write `section.name`, of {sections}"
                yield ("titles", language, key), problem


def _check_proof(policy: Policy) -> Iterator[PolicyError]:
    if policy.proof is None:
        return
    yield from check_period(("proof", "term"), policy.proof.term)
    if policy.proof.term_from == "derived" and not policy.proof.rationale:
        yield ("proof",), "a derived term or anchor needs a rationale"


def _check_clocks(policy: Policy) -> Iterator[PolicyError]:
    for name, clock in policy.clocks.items():
        if clock.max_open is not None:
            yield from check_period(("clocks", name, "max_open"), clock.max_open, months=False)
        yield from require_defined(("clocks", name, "parent"), clock.parent, policy.clocks)
        parent = policy.clocks.get(clock.parent or "")
        if parent and (parent.parent or not set(parent.key) <= set(clock.key)):
            yield (
                ("clocks", name, "parent"),
                "a parent must have no parent, and only keys of this clock",
            )


def _check_controller(policy: Policy) -> Iterator[PolicyError]:
    try:
        ZoneInfo(policy.controller.time_zone)
    except (KeyError, ValueError, OSError):
        yield (
            ("controller", "time_zone"),
            f"{policy.controller.time_zone!r} is not a time zone such as Europe/Amsterdam"
            + did_you_mean(policy.controller.time_zone, available_timezones()),
        )
    if not _YEAR_END.fullmatch(policy.controller.book_year_end):
        yield ("controller", "book_year_end"), _NOT_A_YEAR_END
    for name, last_day in policy.controller.years.items():
        path = ("controller", "years", name)
        if not _YEAR_END.fullmatch(last_day):
            yield path, f"{_NOT_A_YEAR_END}, got {last_day!r}"
        if name in FIXED_ENDS:
            yield path, f"{name!r} has a meaning of its own; give the year another name"
