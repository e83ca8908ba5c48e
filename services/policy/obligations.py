"""Obligations: what each system must do to a record, such as erase or restrict it, and when.

A record is one event's data on one subject. A system keeps it until the last purpose that it serves has
ended. When another purpose ends earlier, with its last holding there, the record is restricted (GDPR 18).
As soon as only research and a statute need the person, the record is pseudonymised (art. 5(1)(c), 89(1)).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.policy import rights_effects
from services.policy.check_times import co_subjects_holdings
from services.policy.endings import endings_of, last_step, with_transfer
from services.policy.model import Policy
from services.policy.notices import (
    NONE_ENDED,
    AnnouncedEnd,
    EndedSystems,
    find_notices,
    first_end_to_come,
)
from services.policy.obligation import (
    HoldingWindow,
    Obligation,
    build_obligation,
    purpose_ends_at,
    sort_key,
)
from services.policy.obligations_from_rights import obligations_from_rights
from services.policy.reasons import (
    HOLD_RELEASED,
    LAST_PURPOSE_ENDED,
    ONLY_RESEARCH,
    OTHER_PURPOSE_REMAINS,
    PURPOSE_ENDED,
)
from services.policy.retention_windows import Facts, compute_term, compute_window
from services.policy.tagged_event import Holding, TaggedEvent


def obligations_of(
    tagged: TaggedEvent,
    subject: str,
    facts: Facts,
    policy: Policy,
    ended: EndedSystems = NONE_ENDED,
) -> tuple[Obligation, ...]:
    """Return every obligation whose time is known, for one subject's record, earliest first.

    They follow from the plan of the event's shape, unless one of its subjects has privacy events. In the
    systems `ended` the record's data has ended, which notices do not announce.
    """
    plan = tagged.plan
    if plan and not any(facts.subject_state(name) for name in plan.subjects):
        return plan.obligations(subject, tagged.time, facts, policy, ended)
    return obligations_of_holdings(tagged, subject, facts, policy, ended)


def obligations_of_holdings(
    tagged: TaggedEvent,
    subject: str,
    facts: Facts,
    policy: Policy,
    ended: EndedSystems = NONE_ENDED,
) -> tuple[Obligation, ...]:
    """Return the same without a plan, whatever privacy events the event's subjects have."""
    windows = []
    for holding in tagged.by_subject.get(subject, ()):
        holding_window = compute_window(holding, tagged.time, facts, policy)
        windows.append(HoldingWindow(holding_window.holding, holding_window))
    state = facts.subject_state(subject)
    obligations: list[Obligation] = []
    for system in sorted({system for item in windows for system in item.holding.systems}):
        serving = [item for item in windows if system in item.holding.systems]
        end = _end_obligation(system, serving)
        obligations.extend(_restriction_obligations(system, serving, end))
        pseudonymisation = _pseudonymisation_obligation(system, serving, tagged, facts, policy)
        if state:
            obligations.extend(obligations_from_rights(system, serving, tagged, facts, policy))
            end = _delayed_by_holds(end, tagged, subject, facts, policy)
            pseudonymisation = _delayed_by_holds(pseudonymisation, tagged, subject, facts, policy)
        if end is not None:
            obligations += _endings(end, serving, tagged, subject, facts, policy)
        if pseudonymisation and not (end and end.due <= pseudonymisation.due):
            obligations.append(pseudonymisation)
    obligations += _notices(windows, tagged, subject, facts, policy, ended)
    return tuple(sorted(obligations, key=sort_key))


def _notices(
    windows: list[HoldingWindow],
    tagged: TaggedEvent,
    subject: str,
    facts: Facts,
    policy: Policy,
    ended: EndedSystems,
) -> Iterator[Obligation]:
    """Return the obligations to give notice of ends by terms, not of those that the person has decided.

    One that a legal hold delays beyond the end is none.
    """
    last_steps: dict[str, str] = {}
    for system in {system for item in windows for system in item.holding.systems}:
        rules = [
            policy.rules[item.holding.rule] for item in windows if system in item.holding.systems
        ]
        last_steps[system] = last_step(endings_of(rules, policy.systems[system])[1])
    ends = []
    for item in windows:
        dues = {system: due for system, due in item.window.due_at.items() if due}
        at = first_end_to_come(dues, last_steps, ended)
        if at is not None and not item.window.early_end:
            rule, purpose = item.holding.rule, item.holding.purpose
            first_end, clocks = min(dues.values()), item.window.clocks
            ends.append(AnnouncedEnd(rule, policy.rules[rule], purpose, at, first_end, clocks))
    state = facts.subject_state(subject)
    for notice in find_notices(ends, tagged.time, policy):
        released_at = rights_effects.released_at(notice.due, tagged.id, state)
        if released_at == notice.due:
            yield notice
        elif released_at and not notice.is_missed(released_at):
            yield notice._replace(due=released_at)


def _delayed_by_holds(
    obligation: Obligation | None, tagged: TaggedEvent, subject: str, facts: Facts, policy: Policy
) -> Obligation | None:
    """Return the obligation as legal holds delay it; None while a hold is open at its instant."""
    if obligation is None:
        return None
    released_at = rights_effects.released_at(
        obligation.due, tagged.id, facts.subject_state(subject)
    )
    if released_at is None or released_at == obligation.due:
        return obligation if released_at else None
    erase_by = max(
        obligation.erase_by, released_at + policy.systems[obligation.system].lead_time_period.exact
    )
    return obligation._replace(due=released_at, erase_by=erase_by, reason=HOLD_RELEASED)


def _pseudonymisation_due(
    holding: Holding, system: str, tagged: TaggedEvent, facts: Facts, policy: Policy
) -> tuple[datetime, datetime] | None:
    """Return from when and until when a holding allows `system` to pseudonymise; None while it is open."""
    lead = policy.systems[system].lead_time_period
    at = compute_term(holding, tagged.time, facts, policy).command_time(lead)
    erase_by = compute_window(holding, tagged.time, facts, policy).erase_by
    if at is None or erase_by is None:
        return None
    released_at = rights_effects.released_at(at, tagged.id, facts.subject_state(holding.subject))
    if released_at is None or released_at == at:
        return (at, erase_by) if released_at else None
    return released_at, max(erase_by, released_at + lead.exact)


def _endings(
    end: Obligation,
    serving: list[HoldingWindow],
    tagged: TaggedEvent,
    subject: str,
    facts: Facts,
    policy: Policy,
) -> Iterator[Obligation]:
    """Return what the end of these holdings in a system is, a transfer, an erasure, or both.

    What a person's own decision ends is erased, whatever its rule. If its term had ended before, it is due
    at the decision's own instant.
    """
    rules = [policy.rules[item.holding.rule] for item in serving]
    decided = min(
        (item.window.early_end for item in serving if item.window.early_end),
        key=lambda early_end: early_end.at,
        default=None,
    )
    transfers, _ = endings_of(
        [policy.rules[item.holding.rule] for item in serving if not item.window.early_end],
        policy.systems[end.system],
    )
    _, erases = endings_of(rules, policy.systems[end.system])
    yield from with_transfer(end, transfers, erases)
    if decided is None or erases:
        return
    erasure: Obligation | None = end
    if decided.at > end.due:
        at = decided.at
        own = end._replace(due=at, erase_by=at, reason=decided.reason)
        erasure = _delayed_by_holds(own, tagged, subject, facts, policy)
    if erasure is not None:
        yield erasure._replace(awaits_transfer=transfers)


def _end_obligation(system: str, serving: list[HoldingWindow]) -> Obligation | None:
    """Return the obligation to erase a record as its last holding ends; None while one is open."""
    due_at = [at for item in serving if (at := item.window.due_at[system]) is not None]
    if len(due_at) < len(serving):
        return None
    minimum_ends = [item.window.not_before for item in serving if item.window.not_before]
    at = max(due_at + minimum_ends)
    early_ends = [
        item.window.early_end
        for item in serving
        if item.window.early_end and item.window.early_end.at == at
    ]
    natural = LAST_PURPOSE_ENDED if len(serving) > 1 else PURPOSE_ENDED
    return build_obligation(
        system,
        "erase",
        serving,
        at=at,
        not_before=max(minimum_ends, default=None),
        erase_by=max(item.window.erase_by for item in serving if item.window.erase_by),
        clocks=[clock for item in serving for clock in item.window.clocks],
        reason=early_ends[0].reason if early_ends else natural,
    )


def _restriction_obligations(
    system: str, serving: list[HoldingWindow], end: Obligation | None
) -> Iterator[Obligation]:
    by_due: dict[datetime, list[HoldingWindow]] = {}
    for purpose in dict.fromkeys(item.holding.purpose for item in serving):
        its_holdings = [item for item in serving if item.holding.purpose == purpose]
        at = purpose_ends_at(system, its_holdings)
        if at is not None and (end is None or at < end.due):
            by_due.setdefault(at, []).extend(its_holdings)
    for at, ended in by_due.items():
        yield build_obligation(
            system,
            "restrict",
            ended,
            at=at,
            erase_by=max(item.window.erase_by for item in ended if item.window.erase_by),
            clocks=[clock for item in ended for clock in item.window.clocks],
            reason=OTHER_PURPOSE_REMAINS,
        )


def _pseudonymisation_obligation(
    system: str,
    serving: list[HoldingWindow],
    tagged: TaggedEvent,
    facts: Facts,
    policy: Policy,
) -> Obligation | None:
    research = [item for item in serving if policy.rules[item.holding.rule].pseudonymises]
    if not research:
        return None
    co_subjects = co_subjects_holdings(tagged, policy)
    released = [
        _pseudonymisation_due(holding, system, tagged, facts, policy) for holding in co_subjects
    ]
    due_times = [item for item in released if item is not None]
    if len(due_times) < len(released):
        return None
    return build_obligation(
        system,
        "pseudonymise",
        research,
        at=max((at for at, _ in due_times), default=tagged.time),
        erase_by=max((erase_by for _, erase_by in due_times), default=tagged.time),
        clocks=[
            *(clock for item in research for clock in item.holding.clocks),
            *(
                clock
                for item in co_subjects
                for clock in compute_term(item, tagged.time, facts, policy).clocks
            ),
        ],
        reason=ONLY_RESEARCH,
    )
