"""Lint warnings on a valid policy: what a person should look at, above all the privacy officer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from services.policy.calendar import DAY, Period, parse_period
from services.policy.conditions import condition_fields, rules_of, variants
from services.policy.derived_terms import PROOF, DerivedTerm, derived_terms
from services.policy.lint_concept import concept_warnings
from services.policy.lint_missing_events import missing_events
from services.policy.lint_open_clocks import clocks_that_may_stay_open
from services.policy.model import Policy
from services.policy.placement import declared_systems
from services.policy.retiring import list_retirements
from services.policy.rule import NEVER, Rule
from services.policy.sources import needs_sources

_KEY_NOT_SENT = (
    "is not sent in commands, since it neither names the subject nor identifies; "
    "set `identifies: true` if its value names one person's rows"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LintWarning:
    """A warning on one key of the policy file."""

    key: str
    message: str


def lint(policy: Policy, confirmed: Mapping[str, bool] | None = None) -> Iterator[LintWarning]:
    """Return warnings on derived and unlikely terms, unused names, and missing events or sources.

    `confirmed` has, by rule, whether its derived term is confirmed; without it all are to be confirmed.
    """
    yield from _warn_of_derived_terms(policy, confirmed or {})
    for name, event in policy.events.items():
        naming = {subject.field for subject in event.subject}
        for key, field in event.fields.items():
            if event.holdings and field.business_key and not field.identifies and key not in naming:
                yield LintWarning(key=f"events.{name}.fields.{key}", message=_KEY_NOT_SENT)
    yield from _warn_of_retirements(policy)
    yield from _warn_of_unlikely_terms(policy)
    yield from _warn_of_what_may_stay(policy)
    yield from _warn_of_conditions(policy)
    for section, name in _unused_names(policy):
        yield LintWarning(key=f"{section}.{name}", message="is defined and never used")
    for name in _unused_systems(policy):
        message = "holds no data and gives no notice: nothing is ever commanded there"
        yield LintWarning(key=f"systems.{name}", message=message)
    yield from _warn_of_clocks_without_effect(policy)
    yield from _warn_of_optional_keys(policy)
    for key, message in clocks_that_may_stay_open(policy):
        yield LintWarning(key=key, message=message)
    for key, message in missing_events(policy):
        yield LintWarning(key=key, message=message)
    for key, message in concept_warnings(policy):
        yield LintWarning(key=key, message=message)
    for name, event in policy.events.items():
        if needs_sources(event):
            message = (
                "can forbid or cause an erasure, and has no `sources`: any publisher may send it"
            )
            yield LintWarning(key=f"events.{name}", message=message)


def _warn_of_derived_terms(policy: Policy, confirmed: Mapping[str, bool]) -> Iterator[LintWarning]:
    """Warn of derived terms, with whether they are confirmed, and of rules in test."""
    derived = {term.name: term for term in derived_terms(policy)}
    for name, rule in policy.rules.items():
        if term := derived.get(name):
            yield LintWarning(key=f"rules.{name}", message=_derived(term, confirmed))
        if rule.is_in_test:
            message = "is in test: nothing is commanded because of it, and its data is kept"
            yield LintWarning(key=f"rules.{name}.status", message=message)

    if PROOF in derived and PROOF not in policy.rules:
        yield LintWarning(key=PROOF, message=_derived(derived[PROOF], confirmed))


def _derived(term: DerivedTerm, confirmed: Mapping[str, bool]) -> str:
    state = "confirmed" if confirmed.get(term.name) else "to be confirmed"
    return f"{' and '.join(term.derived)} derived, {state}: {term.rationale}"


def _warn_of_retirements(policy: Policy) -> Iterator[LintWarning]:
    effects = {"systems": "gets no new data", "purposes": "has no new data held for it"}
    for section, retirements in list_retirements(policy).items():
        for name, retired_at in retirements.items():
            message = f"{effects[section]} from {retired_at.isoformat().replace('+00:00', 'Z')} on"
            yield LintWarning(key=f"{section}.{name}.retired", message=message)


def _warn_of_unlikely_terms(policy: Policy) -> Iterator[LintWarning]:
    """Warn of terms and lead times that are most likely mistakes."""
    for name, rule in policy.rules.items():
        for text in _terms_of(rule):
            term = parse_period(text)
            if term.is_exact and not term.is_zero and term.exact < DAY:
                message = f"lasts less than a day ({text}): after T, M is minutes, not months"
                yield LintWarning(key=f"rules.{name}", message=message)
        for index, notice in enumerate(rule.notices):
            for text in _terms_of(rule):
                if _shortest_length(parse_period(text)) < _shortest_length(notice.period):
                    message = (
                        f"{notice.before} is longer than the term ({text}): notice is given at once"
                    )
                    yield LintWarning(key=f"rules.{name}.notices.{index}.before", message=message)
    for system, name in sorted(_rules_by_system(policy)):
        rule, lead_time = policy.rules[name], policy.systems[system].lead_time
        terms = [(text, parse_period(text)) for text in _terms_of(rule) if text != rule.minimum]
        for text, term in terms if rule.kind == "at_most" else ():
            if (
                not term.is_zero
                and _shortest_length(term) < policy.systems[system].lead_time_period.exact
            ):
                message = (
                    f"{lead_time} is longer than the term of {name} ({text}):"
                    " its commands leave at once, without time for retries"
                )
                yield LintWarning(key=f"systems.{system}.lead_time", message=message)


def _terms_of(rule: Rule) -> Iterator[str]:
    """Return the terms of a rule, and its minimum, as they are written."""
    texts = [term for part in rule.parts for term in (part.term, *part.terms.values())]
    yield from dict.fromkeys(text for text in (*texts, rule.minimum) if text and text != NEVER)


def _warn_of_what_may_stay(policy: Policy) -> Iterator[LintWarning]:
    """Warn of data that no term ends, or that no request for erasure does."""
    yield from _warn_of_stated_minimums(policy)
    for name, rule in policy.rules.items():
        if rule.is_never_erased:
            yield LintWarning(key=f"rules.{name}", message="is never erased")
    for name, event in policy.events.items():
        for index, holding in enumerate(event.holdings):
            rules = [policy.rules[rule] for rule in variants(holding.rule, policy.rules)]
            dates = dict.fromkeys(
                part.anchor.field
                for rule in rules
                for part in rule.parts
                if part.anchor.field and not part.if_any and rule.ends != "first"
            )
            for date in dates:
                if not event.fields[date].required:
                    message = f"has no end in an event without {date}, which is not required"
                    yield LintWarning(key=f"events.{name}.holdings.{index}", message=message)


def _warn_of_stated_minimums(policy: Policy) -> Iterator[LintWarning]:
    """Warn of minimums that only the statement gives, where a person may ask for erasure."""
    found: dict[str, list[str]] = {}
    for event_type, event in policy.events.items():
        for holding in event.holdings:
            for name in variants(holding.rule, policy.rules):
                rule = policy.rules[name]
                is_open = policy.bases[holding.basis].ground == "legitimate_interest"
                if is_open and rule.kind == "at_least" and rule.term_from == "stated":
                    found.setdefault(name, []).append(event_type)
    for name, types in found.items():
        message = (
            f"is a minimum by the statement alone, and {', '.join(dict.fromkeys(types))} keeps data under"
            " it on a legitimate interest: it also holds against a request for erasure; use `at_most` for"
            " what is promised"
        )
        yield LintWarning(key=f"rules.{name}.kind", message=message)


def _warn_of_conditions(policy: Policy) -> Iterator[LintWarning]:
    """Warn of rules that take over a source, and of events to which conditions can never apply."""
    for name, rule in policy.rules.items():
        base = policy.rules.get(rule.extends or "")
        if base and base.parts != rule.parts and base.source == rule.source:
            message = f"has a term of its own, and the source of {rule.extends}: {rule.source}"
            yield LintWarning(key=f"rules.{name}.source", message=message)
    for type_name, event in policy.events.items():
        for index, holding in enumerate(event.holdings):
            for field in sorted(condition_fields(holding, policy) - event.fields.keys()):
                rules = [
                    name for name in rules_of(holding, policy) if field in policy.rules[name].when
                ]
                message = f"has no field {field}, so {', '.join(rules)} never applies to it"
                yield LintWarning(key=f"events.{type_name}.holdings.{index}", message=message)


def _rules_by_system(policy: Policy) -> set[tuple[str, str]]:
    """Return each pair of a system and a rule of a holding that it may have."""
    pairs = set()
    for event in policy.events.values():
        for holding in event.holdings:
            rules = rules_of(holding, policy)
            pairs |= {(system, rule) for system in declared_systems(holding) for rule in rules}
    return pairs


def _shortest_length(period: Period) -> timedelta:
    """Return the shortest length of a period: each month has 28 days."""
    return timedelta(days=28 * period.months + period.days) + period.exact


def _warn_of_clocks_without_effect(policy: Policy) -> Iterator[LintWarning]:
    """Warn of clocks from which no rule counts, though events move them; privacy events may."""
    counted = {part.anchor.clock for rule in policy.rules.values() for part in rule.parts}
    for clock in policy.clocks.values():
        counted.add(clock.parent)
    for name in policy.clocks:
        moving = [
            kind
            for kind, event in policy.events.items()
            if not kind.startswith("privacy.") and any(move.clock == name for move in event.moves)
        ]
        if moving and name not in counted:
            message = (
                f"no rule counts from it, and what moves it has no effect: {', '.join(moving)}"
            )
            yield LintWarning(key=f"clocks.{name}", message=message)


def _warn_of_optional_keys(policy: Policy) -> Iterator[LintWarning]:
    """Warn of fields without which an event's data waits for no clock: such an event is parked."""
    for kind, event in policy.events.items():
        needed: dict[str, str] = {}
        for holding in event.holdings:
            if holding.when or holding.for_kinds:
                continue  # perhaps made of those events only that have the field
            for part in policy.rules[holding.rule].parts:
                clock = policy.clocks.get(part.anchor.clock or "")
                for name in clock.key if clock else ():
                    needed.setdefault(holding.key.get(name, name), part.anchor.clock or "")
        for name, clock_name in needed.items():
            field = event.fields[name]
            if not field.required and field.default is None:
                message = (
                    f"is optional, and a key field of {clock_name}: an event without it is parked"
                )
                yield LintWarning(key=f"events.{kind}.fields.{name}", message=message)


def _unused_systems(policy: Policy) -> Iterator[str]:
    """Yield the systems that hold no data and give no notice, and that are not retired."""
    holdings = [holding for event in policy.events.values() for holding in event.holdings]
    if any(holding.systems_from for holding in holdings):
        return  # an event may name any of them
    used = {name for holding in holdings for name in declared_systems(holding)}
    used |= {notice.system for rule in policy.rules.values() for notice in rule.notices}
    for name, system in policy.systems.items():
        if name not in used and system.retired is None:
            yield name


def _unused_names(policy: Policy) -> Iterator[tuple[str, str]]:
    holdings = [holding for event in policy.events.values() for holding in event.holdings]
    changes = [change for item in holdings for change in (item.on_consent, item.on_withdrawal)]
    parts = [part for part in (*holdings, *changes) if part is not None]
    anchors = [part.anchor for rule in policy.rules.values() for part in rule.parts]
    clocks = {anchor.clock for anchor in anchors}
    clocks |= {clock.parent for clock in policy.clocks.values()}
    clocks |= {move.clock for event in policy.events.values() for move in event.moves}
    used_names: dict[str, set[str | None]] = {
        "purposes": {*(holding.purpose for holding in holdings)},
        "bases": {*(part.basis for part in parts)},
        "rules": {
            *(name for holding in holdings for name in rules_of(holding, policy)),
            *(rule.extends for rule in policy.rules.values()),
        },
        "categories": {
            *(category for event in policy.events.values() for category in event.categories)
        },
        "clocks": clocks,
    }
    for section, names in used_names.items():
        for name in getattr(policy, section):
            if name not in names:
                yield section, name
    ends = {anchor.end_of for anchor in anchors}
    yield from (("controller.years", name) for name in policy.controller.years if name not in ends)
