"""Lint warnings on what no event of a policy brings about, such as the end of a clock or a legal hold."""

from __future__ import annotations

from collections.abc import Iterator

from services.policy.conditions import rules_of
from services.policy.event_type import PrivacyEventKind
from services.policy.model import Policy


def missing_events(policy: Policy) -> Iterator[tuple[str, str]]:
    """Return the key and the message of each warning."""
    yield from _clock_warnings(policy)
    acts = {event.act for event in policy.events.values()}
    if "consent-withdrawn" not in acts:
        for name in sorted(_consents_in_use(policy)):
            yield (
                f"bases.{name}",
                "is consent, and no event withdraws it (GDPR 7(3)); `include: gdpr` adds one",
            )
    yield from _one_sided_acts(policy)
    yield from _one_sided_provenance(policy)
    if "hold-placed" not in acts and _holds_data(policy):
        yield (
            "events",
            "no event places a legal hold; `include: gdpr` adds one",
        )


def _clock_warnings(policy: Policy) -> Iterator[tuple[str, str]]:
    moves = [move for event in policy.events.values() for move in event.moves]
    ended = {move.clock for move in moves if move.move == "end"}
    started = {move.clock for move in moves if move.move == "start"}
    rules_in_use = _rules_in_use(policy)
    for name, clock in policy.clocks.items():
        parts = [
            (rule, part)
            for rule, definition in policy.rules.items()
            for part in definition.parts
            if part.anchor.clock == name
        ]
        rules = [
            rule for rule, part in parts if not part.if_any and policy.rules[rule].ends != "first"
        ]
        if rules and ended.isdisjoint({name, clock.parent}):
            yield (
                f"clocks.{name}",
                f"no event ends it, so what {', '.join(rules)} keeps is kept permanently:"
                " add an event with `moves`",
            )
        at_once = [
            rule
            for rule, part in parts
            if rule in rules_in_use and any(period.is_zero for period in part.periods)
        ]
        if at_once and name in ended and name not in started:
            yield (
                f"clocks.{name}",
                f"no event starts it again, and {', '.join(at_once)} erases at its end:"
                " an end by mistake cannot be undone",
            )


def _one_sided_acts(policy: Policy) -> Iterator[tuple[str, str]]:
    """Warn of events that begin what no event ends."""
    ends: tuple[tuple[PrivacyEventKind, PrivacyEventKind, str], ...] = (
        (
            "request-received",
            "request-answered",
            "requests are received, and no event answers them",
        ),
        ("request-received", "request-refused", "requests are received, and no event refuses them"),
        ("hold-placed", "hold-released", "legal holds are placed, and no event releases them"),
    )
    acts = {event.act: name for name, event in policy.events.items()}
    for begins, ends_with, problem in ends:
        if begins in acts and ends_with not in acts:
            yield f"events.{acts[begins]}", f"{problem}; `include: gdpr` adds one"


def _one_sided_provenance(policy: Policy) -> Iterator[tuple[str, str]]:
    """Warn of duties to inform people where their data comes from that no event can end."""
    reports = {e.provenance.reports: name for name, e in policy.events.items() if e.provenance}
    if "obtained" in reports and "informed" not in reports:
        yield (
            f"events.{reports['obtained']}",
            "people must be informed where their data comes from (GDPR 14(3)), and no event reports that"
            " they were: add one with `provenance: {reports: informed}`",
        )
    if "informed" in reports and "obtained" not in reports:
        yield (
            f"events.{reports['informed']}",
            "reports that people were informed where their data comes from, and no event reports that data"
            " was obtained: add `provenance: {reports: obtained}` to one",
        )


def _rules_in_use(policy: Policy) -> set[str]:
    """Return the rules of holdings, with those that they change to as consent changes."""
    return {
        rule
        for event in policy.events.values()
        for holding in event.holdings
        for rule in rules_of(holding, policy)
    }


def _consents_in_use(policy: Policy) -> set[str]:
    return {
        part.basis
        for event in policy.events.values()
        for holding in event.holdings
        for part in (holding, holding.on_consent, holding.on_withdrawal)
        if part is not None and policy.bases[part.basis].ground == "consent"
    }


def _holds_data(policy: Policy) -> bool:
    return any(event.holdings for event in policy.events.values())
