"""Small policies with rules of one's own, and events and facts for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from schemas.cloudevents import CloudEvent
from services.policy.check_times import clocks_of, event_check_times
from services.policy.loader import load_text
from services.policy.model import Policy
from services.policy.obligations import obligations_of
from services.policy.plans import CompiledPolicy
from services.policy.retention_windows import Window, check_times, compute_window
from services.policy.tagging import tag
from tests.unit.policy.random_facts import FactsAbout, facts_about
from tests.unit.policy.small import SMALL, Ended, replaced

_HOLDING = "      - {purpose: care, basis: contract, rule: year, systems: [app]}\n"
YEARS = '{fiscal: "08-31", calendar: "12-31", academic: "07-31"}'


def policy_text(
    rules: Mapping[str, str], *holdings: str, years: str = YEARS, fields: str = "", more: str = ""
) -> str:
    """Return the small policy with these rules, each in YAML's flow style without braces.

    `club.joined` makes the `holdings`, by default one in `app` for each rule, and has more `fields`;
    `more` are further event types.
    """
    common = "title: T, source: s, term_from: stated, anchor_from: stated"
    written = "".join(f"  {name}: {{{common}, {rule}}}\n" for name, rule in rules.items())
    purposes = ("care", "service", "study", "tax")
    own = holdings or tuple(
        f"purpose: {purpose}, basis: contract, rule: {name}, systems: [app]"
        for name, purpose in zip(rules, purposes, strict=False)
    )
    text = replaced(SMALL, "rules:\n", f"rules:\n{written}")
    text = replaced(text, "  statement: Statement 1\n", f"  statement: S\n  years: {years}\n")
    text = replaced(text, _HOLDING, "".join(f"      - {{{holding}}}\n" for holding in own))
    text = replaced(text, "      paid: {", f"{fields}      paid: {{")
    return text + more


def policy_with(rules: Mapping[str, str], *holdings: str, **changes: str) -> Policy:
    """Return that policy."""
    return load_text(policy_text(rules, *holdings, **changes), "small.yaml")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def event(time: str | datetime, id: str = "e1", **data: Any) -> CloudEvent:
    """Return a `club.joined` of that time."""
    at = instant(time) if isinstance(time, str) else time
    return CloudEvent(
        id=id,
        source="/club",
        type="club.joined",
        time=at,
        data={"client_id": "C1", "stay_id": "S1", **data},
    )


def window(policy: Policy, time: str, ended: Mapping[str, str] = {}, **data: Any) -> Window:
    """Return the window of the first holding of a `club.joined`, when these clocks have ended."""
    holding = tag(event(time, **data), policy).holdings[0]
    facts = Ended({clock: instant(at) for clock, at in ended.items()})
    return compute_window(holding, instant(time), facts, policy)


def check_plans(policy: Policy, events: list[CloudEvent], data: st.DataObject) -> None:
    """Check that plans give what tagging each event alone gives, with any ends of clocks."""
    compiled = CompiledPolicy(policy=policy)
    facts = data.draw(facts_about([tag(each, policy) for each in events], policy))
    for each in (*events, *events):
        assert compiled.tag(each).plan
        check_event_by_plan(each, compiled, facts)


def check_event_by_plan(event: CloudEvent, compiled: CompiledPolicy, facts: FactsAbout) -> None:
    """Check that an event by its plan is the event alone, in all that follows from it."""
    policy = compiled.policy
    alone, planned = tag(event, policy), compiled.tag(event)
    assert planned == alone
    assert planned.message_key == alone.message_key
    for subject in alone.subjects:
        assert clocks_of(planned, subject, policy) == clocks_of(alone, subject, policy)
        times = event_check_times(planned, subject, policy)
        assert times == event_check_times(alone, subject, policy)
        steps = obligations_of(planned, subject, facts, policy)
        assert steps == obligations_of(alone, subject, facts, policy)
        for step in steps:
            at_clocks = (
                at
                for clock in clocks_of(alone, subject, policy)
                if (standing := facts.standing(clock)).ended_at
                for at in check_times(clock.clock, standing.ended_at, policy, standing.outcome)
            )
            assert step.due in {*times, *at_clocks} or step.due <= max(
                (facts.standing(clock).ended_at or event.time for clock in step.clocks),
                default=event.time,
            )
