"""Check the rules of a policy: their terms, anchors, several ends, minimums and terms by outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.policy.calendar import Period, parse_period
from services.policy.model import Policy
from services.policy.nearest_name import did_you_mean
from services.policy.rule import FIXED_ENDS, NEVER, Anchor, Part, PartEntry, Rule
from services.policy.validation_fields import require_defined
from services.policy.validation_periods import check_period
from services.policy.yaml_source import DocumentPath, PolicyError

_KEYS_OF_KINDS = ("clock", "field")
"""The kinds of anchors that need a key of the same name."""


def check_rules(policy: Policy) -> Iterator[PolicyError]:
    """Return every problem of a rule, each with its path in the file."""
    for name, rule in policy.rules.items():
        path: DocumentPath = ("rules", name)
        if rule.of or rule.ends:
            yield from _check_several_ends(path, rule)
        elif rule.term is None:
            yield (*path, "term"), "is missing"
        if rule.anchor is None and rule.term not in (NEVER, None):
            yield (*path, "anchor"), "is missing"
        for entry_path, entry in _entries(path, rule):
            if entry.anchor is None and entry.term != NEVER:
                yield (*entry_path, "anchor"), "is missing"
        for part_path, part in _parts(path, rule):
            yield from _check_part(part_path, part, policy)
        yield from _check_minimum((*path, "minimum"), rule)
        yield from _check_notices((*path, "notices"), rule, policy)
        if rule.lasts_until_withdrawal and (rule.of or rule.terms or rule.minimum):
            yield (
                path,
                "is a maximum that never ends; use kind `at_least` for what is kept permanently, or"
                " `term: never` alone for what is kept until consent is withdrawn",
            )
        if "derived" in (rule.term_from, rule.anchor_from) and not rule.rationale:
            yield path, "a derived term or anchor needs a rationale"


def _entries(path: DocumentPath, rule: Rule) -> Iterator[tuple[DocumentPath, PartEntry]]:
    yield from (((*path, "of", index), entry) for index, entry in enumerate(rule.of))


def _parts(path: DocumentPath, rule: Rule) -> Iterator[tuple[DocumentPath, Part]]:
    paths = [place for place, _ in _entries(path, rule)] or [path]
    yield from zip(paths, rule.parts, strict=True)


def _check_several_ends(path: DocumentPath, rule: Rule) -> Iterator[PolicyError]:
    if not rule.of:
        yield (*path, "of"), "is missing: `ends` counts the ends that it lists"
        return
    if rule.ends is None:
        yield (*path, "ends"), "is missing: `last` or `first` of the ends in `of`"
    given = {"term": rule.term, "anchor": rule.anchor, "terms": rule.terms, "minimum": rule.minimum}
    for key, value in given.items():
        if value:
            yield (*path, key), "is not allowed beside `of`, whose entries have terms of their own"


def _check_part(path: DocumentPath, part: Part, policy: Policy) -> Iterator[PolicyError]:
    yield from check_term((*path, "term"), part.term)
    for outcome, term in part.terms.items():
        yield from check_term((*path, "terms", outcome), term)
    yield from _check_anchor((*path, "anchor"), part.anchor, policy)
    if part.if_any and part.anchor.kind not in _KEYS_OF_KINDS:
        kind = part.anchor.kind
        yield (*path, "if_any"), f"is allowed only for an anchor of kind clock or field, got {kind}"
    if part.terms and part.anchor.kind != "clock":
        yield (*path, "terms"), "is allowed only for an anchor of kind clock, which has outcomes"
        return
    outcomes = _outcomes(part.anchor.clock, policy)
    for outcome in part.terms:
        if outcome not in outcomes:
            known = ", ".join(sorted(outcomes)) or "none"
            why = f"no event ends the clock {part.anchor.clock} with this outcome, only: {known}"
            why += did_you_mean(outcome, outcomes)
            yield (*path, "terms", outcome), why


def _outcomes(clock: str | None, policy: Policy) -> set[str]:
    return {
        move.outcome
        for event in policy.events.values()
        for move in event.moves
        if move.clock == clock and move.outcome
    }


def _check_anchor(path: DocumentPath, anchor: Anchor, policy: Policy) -> Iterator[PolicyError]:
    values: Mapping[str, str | None] = {"clock": anchor.clock, "field": anchor.field}
    for key in _KEYS_OF_KINDS:
        if (anchor.kind == key) != (values[key] is not None):
            yield path, f"`{key}` must be set for kind `{key}`, and for no other kind"
    yield from require_defined((*path, "clock"), anchor.clock, policy.clocks)
    if anchor.end_of is None:
        return
    if anchor.kind == "book-year":
        why = f"is not allowed for kind `book-year`, got {anchor.end_of}; use kind `event`"
        yield (*path, "end_of"), why
    elif anchor.end_of not in (*FIXED_ENDS, *policy.controller.years):
        known = ", ".join((*policy.controller.years, *FIXED_ENDS))
        why = f"is not one of {known}, got {anchor.end_of!r}; add it to controller.years"
        why += did_you_mean(anchor.end_of, (*policy.controller.years, *FIXED_ENDS))
        yield (*path, "end_of"), why


def _check_minimum(path: DocumentPath, rule: Rule) -> Iterator[PolicyError]:
    if rule.minimum is None or rule.of:
        return
    if rule.kind != "at_most":
        yield (
            path,
            "is allowed only beside a maximum (at_most); an at_least rule is a minimum itself",
        )
        return
    try:
        minimum = parse_period(rule.minimum)
        terms = [period for part in rule.parts for period in part.periods]
    except ValueError:
        yield from check_period(path, rule.minimum)
        return
    if any(_is_longer(minimum, term) for term in terms):
        yield (
            path,
            f"is longer than the term, got {rule.minimum}; the data must be gone before it ends",
        )


_NO_TIME = ("P0D", "PT0S", "PT0H", "PT0M", "P0M", "P0Y", "P0W")


def _check_notices(path: DocumentPath, rule: Rule, policy: Policy) -> Iterator[PolicyError]:
    seen: set[tuple[str, str]] = set()
    for index, notice in enumerate(rule.notices):
        place = (*path, index)
        yield from require_defined((*place, "system"), notice.system, policy.systems)
        yield from check_period((*place, "before"), notice.before)
        system = policy.systems.get(notice.system)
        if system and system.holds == "keys":
            yield (
                (*place, "system"),
                f"{notice.system} holds keys, and cannot give notice to a person",
            )
        if notice.before in _NO_TIME:
            yield (*place, "before"), "has no length; a notice is given before the end"
        if (notice.system, notice.before) in seen:
            yield place, "is there twice; remove one"
        seen.add((notice.system, notice.before))
    if rule.transfers and rule.never_ends:
        yield (*path[:-1], "then"), "is not allowed for a rule that never ends"
    if rule.notices and rule.never_ends:
        yield path, "is not allowed for a rule that never ends"


def _is_longer(one: Period, other: Period) -> bool:
    """Return whether a period is longer than another, whatever the months in it."""
    return all(
        one.months * month + one.days > other.months * month + other.days for month in (28, 31)
    )


def check_term(path: DocumentPath, term: str) -> Iterator[PolicyError]:
    """Check that a term is `never` or a valid period."""
    if term != NEVER:
        yield from check_period(path, term)
