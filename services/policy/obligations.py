"""Obligations: what each system must do to a record, such as erase or restrict it, and when.

A record is one event's data on one subject. A system keeps it until the last purpose that it serves has
ended. When another purpose ends earlier, the record is restricted (GDPR 18). As soon as only research and a
statute need the person, the record is pseudonymised (art. 5(1)(c), 89(1)).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple

from services.policy import rights_effects
from services.policy.model import Policy
from services.policy.reasons import (
    HOLD_RELEASED,
    LAST_PURPOSE_ENDED,
    ONLY_RESEARCH,
    OTHER_PURPOSE_REMAINS,
    PURPOSE_ENDED,
)
from services.policy.retention_windows import (
    Facts,
    Window,
    command_time,
    compute_term,
    compute_window,
    event_anchor,
)
from services.policy.rights import RIGHTS
from services.policy.subject_state import VerifiedRequest
from services.policy.tagged_event import ClockKey, Holding, TaggedEvent

Action = Literal["erase", "restrict", "pseudonymise", "lift", "disclose", "rectify"]

KEYLESS_SUFFIX = " without contested keys"
"""The end of the key of an obligation that is `keyless`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """One thing that one system must do to one record, from `due` on; instants are UTC."""

    system: str
    action: Action
    due: datetime
    not_before: datetime | None
    """A statutory minimum: no command for it may be sent or carried out before this instant."""
    erase_by: datetime
    rules: tuple[str, ...]
    purposes: tuple[str, ...]
    clocks: tuple[ClockKey, ...]
    """The retention clocks that it depends on: when one of them changes, so does the obligation."""
    reason: str
    cause: str = ""
    """The request or objection that requires it; empty if a term does."""
    keyless: bool = False
    """Whether its command leaves out keys that several subjects claim."""

    @property
    def key(self) -> str:
        """The key that distinguishes a record's obligations in one system: several may be restrictions."""
        return f"{self._key}{KEYLESS_SUFFIX}" if self.keyless else self._key

    @property
    def _key(self) -> str:
        if self.cause:
            return f"{self.action} {self.cause}"
        if self.action == "restrict":
            return f"restrict {' '.join(self.purposes)}"
        return self.action

    @property
    def request(self) -> str | None:
        """The id of the request that requires it; None if no request does."""
        kind, _, name = self.cause.partition(" ")
        return name if kind == "request" else None


@dataclass(frozen=True, slots=True)
class _HoldingWindow:
    holding: Holding
    window: Window


def obligations_of(
    tagged: TaggedEvent, subject: str, facts: Facts, policy: Policy
) -> tuple[Obligation, ...]:
    """Return every obligation whose time is known, for one subject's record, earliest first."""
    windows = []
    for holding in tagged.by_subject.get(subject, ()):
        holding_window = compute_window(holding, tagged.time, facts, policy)
        windows.append(_HoldingWindow(holding_window.holding, holding_window))
    state = facts.subject_state(subject)
    obligations: list[Obligation] = []
    for system in sorted({system for item in windows for system in item.holding.systems}):
        serving = [item for item in windows if system in item.holding.systems]
        erasure = _erasure_obligation(system, serving)
        obligations.extend(_restriction_obligations(system, serving, erasure))
        pseudonymisation = _pseudonymisation_obligation(system, serving, tagged, facts, policy)
        if state:
            obligations.extend(_obligations_from_rights(system, serving, tagged, facts, policy))
            erasure = _delayed_by_holds(erasure, tagged, subject, facts, policy)
            pseudonymisation = _delayed_by_holds(pseudonymisation, tagged, subject, facts, policy)
        if erasure is not None:
            obligations.append(erasure)
        if pseudonymisation and not (erasure and erasure.due <= pseudonymisation.due):
            obligations.append(pseudonymisation)
    return tuple(sorted(obligations, key=lambda step: (step.due, step.system, step.action)))


def clocks_of(tagged: TaggedEvent, subject: str, policy: Policy) -> tuple[ClockKey, ...]:
    """Return the clocks on which any obligation depends, or would depend if nothing were retired."""
    relevant = [*tagged.by_subject.get(subject, ()), *tagged.retired_by_subject.get(subject, ())]
    if any(policy.rules[holding.rule].pseudonymise for holding in relevant):
        relevant.extend(
            _holdings_needing_identity((*tagged.holdings, *tagged.retired_holdings), policy)
        )
    return tuple(dict.fromkeys(holding.clock for holding in relevant if holding.clock))


def event_check_times(tagged: TaggedEvent, subject: str, policy: Policy) -> tuple[datetime, ...]:
    """Return the instants, UTC and in order, fixed by the event, at which an obligation can become due."""
    terms = event_terms(tagged, subject, policy)
    return tuple(sorted({event_term.command_time(tagged.time, policy) for event_term in terms}))


class EventTerm(NamedTuple):
    """A term that starts at the event itself, with a system that gets a command at its end."""

    rule: str | None
    """None for a term that ends at once."""
    system: str

    def command_time(self, event_time: datetime, policy: Policy) -> datetime:
        """Return when the command for it is sent, UTC."""
        if self.rule is None:
            return event_time
        rule = policy.rules[self.rule]
        anchor_at = event_anchor(rule, event_time, policy)
        return command_time(rule, anchor_at, policy.systems[self.system].lead_time_period, policy)


def event_terms(tagged: TaggedEvent, subject: str, policy: Policy) -> frozenset[EventTerm]:
    """Return every term of the record that depends on no clock."""
    terms: set[EventTerm] = set()
    for holding in tagged.by_subject.get(subject, ()):
        if holding.clock is None:
            rules = [holding.rule, *([holding.alternative.rule] if holding.alternative else [])]
            terms.update(EventTerm(rule, system) for rule in rules for system in holding.systems)
        if policy.rules[holding.rule].pseudonymise:
            identifying = _co_subjects_holdings(tagged, policy)
            rules = [other.rule for other in identifying if other.clock is None]
            terms.update(EventTerm(rule, system) for rule in rules for system in holding.systems)
            if not identifying:
                terms.update(EventTerm(None, system) for system in holding.systems)
    return frozenset(terms)


def _co_subjects_holdings(tagged: TaggedEvent, policy: Policy) -> tuple[Holding, ...]:
    """Return the holdings of all subjects of the event for which pseudonymisation must wait."""
    return _holdings_needing_identity(tagged.holdings, policy)


def _holdings_needing_identity(holdings: Iterable[Holding], policy: Policy) -> tuple[Holding, ...]:
    return tuple(
        holding
        for holding in holdings
        if not policy.bases[holding.basis].is_statutory
        and not policy.rules[holding.rule].pseudonymise
    )


def _obligations_from_rights(
    system: str, serving: list[_HoldingWindow], tagged: TaggedEvent, facts: Facts, policy: Policy
) -> Iterator[Obligation]:
    """Return the obligations of a system from the person's objections and requests, except erasure."""
    state = facts.subject_state(serving[0].holding.subject)
    restricted: dict[str, tuple[rights_effects.Restriction, list[_HoldingWindow]]] = {}
    restrictions_of = {
        id(item): tuple(rights_effects.list_restrictions(item.holding, tagged.time, state, policy))
        for item in serving
    }
    for item in serving:
        for restriction in restrictions_of[id(item)]:
            restricted.setdefault(restriction.cause, (restriction, []))[1].append(item)
    for restriction, affected in restricted.values():
        yield _requested_obligation(
            system, "restrict", affected, restriction.start, restriction.cause, restriction.reason
        )
        if restriction.end is None:
            continue
        freed = [
            item
            for item in affected
            if _is_unrestricted(item, system, restriction, restrictions_of[id(item)])
        ]
        if freed:
            yield _requested_obligation(
                system, "lift", freed, restriction.end, restriction.cause, restriction.lifted_reason
            )
    for request in state.requests:
        right = RIGHTS[request.right]
        if right.reason is None or tagged.time > request.at:
            continue
        affected = [item for item in serving if _applies_to(request, item.holding, policy)]
        if affected:
            yield _requested_obligation(
                system, right.action, affected, request.at, f"request {request.id}", right.reason
            )


def _is_unrestricted(
    item: _HoldingWindow,
    system: str,
    ended: rights_effects.Restriction,
    restrictions: Iterable[rights_effects.Restriction],
) -> bool:
    """Return whether a holding may be used again when a restriction ends: no other one restricts it."""
    ends_at, due_at = ended.end, item.window.due_at[system]
    return (
        ends_at is not None
        and (due_at is None or due_at > ends_at)
        and not any(
            other.cause != ended.cause
            and other.start <= ends_at
            and (other.end is None or ends_at < other.end)
            for other in restrictions
        )
    )


def _applies_to(request: VerifiedRequest, holding: Holding, policy: Policy) -> bool:
    return (
        request.right != "portability"
        or policy.bases[holding.basis].ground in rights_effects.BASES_WITH_PORTABILITY
    )


def _requested_obligation(
    system: str,
    action: Action,
    affected: list[_HoldingWindow],
    at: datetime,
    cause: str,
    reason: str,
) -> Obligation:
    obligation = _build_obligation(
        system, action, affected, at=at, erase_by=at, depends_on=(), reason=reason
    )
    return replace(obligation, cause=cause)


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
    return replace(obligation, due=released_at, erase_by=erase_by, reason=HOLD_RELEASED)


def _pseudonymisation_due(
    holding: Holding, system: str, tagged: TaggedEvent, facts: Facts, policy: Policy
) -> tuple[datetime, datetime] | None:
    """Return from when and until when a holding allows `system` to pseudonymise; None while it is open."""
    lead = policy.systems[system].lead_time_period
    at = compute_term(holding, tagged.time, facts, policy).command_time(lead, policy)
    erase_by = compute_window(holding, tagged.time, facts, policy).erase_by
    if at is None or erase_by is None:
        return None
    released_at = rights_effects.released_at(at, tagged.id, facts.subject_state(holding.subject))
    if released_at is None or released_at == at:
        return (at, erase_by) if released_at else None
    return released_at, max(erase_by, released_at + lead.exact)


def _build_obligation(
    system: str,
    action: Action,
    ended: list[_HoldingWindow],
    *,
    at: datetime,
    erase_by: datetime,
    depends_on: Iterable[Holding],
    reason: str,
    not_before: datetime | None = None,
) -> Obligation:
    return Obligation(
        system=system,
        action=action,
        due=at,
        not_before=not_before,
        erase_by=erase_by,
        rules=tuple(sorted({item.holding.rule for item in ended})),
        purposes=tuple(sorted({item.holding.purpose for item in ended})),
        clocks=tuple(dict.fromkeys(holding.clock for holding in depends_on if holding.clock)),
        reason=reason,
    )


def _erasure_obligation(system: str, serving: list[_HoldingWindow]) -> Obligation | None:
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
    return _build_obligation(
        system,
        "erase",
        serving,
        at=at,
        not_before=max(minimum_ends, default=None),
        erase_by=max(item.window.erase_by for item in serving if item.window.erase_by),
        depends_on=[item.holding for item in serving if item.window.anchor_at],
        reason=early_ends[0].reason if early_ends else natural,
    )


def _restriction_obligations(
    system: str, serving: list[_HoldingWindow], erasure: Obligation | None
) -> Iterator[Obligation]:
    by_due: dict[datetime, list[_HoldingWindow]] = {}
    for item in serving:
        at = item.window.due_at[system]
        if at is not None and (erasure is None or at < erasure.due):
            by_due.setdefault(at, []).append(item)
    for at, ended in by_due.items():
        yield _build_obligation(
            system,
            "restrict",
            ended,
            at=at,
            erase_by=max(item.window.erase_by for item in ended if item.window.erase_by),
            depends_on=[item.holding for item in ended if item.window.anchor_at],
            reason=OTHER_PURPOSE_REMAINS,
        )


def _pseudonymisation_obligation(
    system: str,
    serving: list[_HoldingWindow],
    tagged: TaggedEvent,
    facts: Facts,
    policy: Policy,
) -> Obligation | None:
    research = [item for item in serving if policy.rules[item.holding.rule].pseudonymise]
    if not research:
        return None
    co_subjects = _co_subjects_holdings(tagged, policy)
    released = [
        _pseudonymisation_due(holding, system, tagged, facts, policy) for holding in co_subjects
    ]
    due_times = [item for item in released if item is not None]
    if len(due_times) < len(released):
        return None
    return _build_obligation(
        system,
        "pseudonymise",
        research,
        at=max((at for at, _ in due_times), default=tagged.time),
        erase_by=max((erase_by for _, erase_by in due_times), default=tagged.time),
        depends_on=[
            *(item.holding for item in research),
            *(
                item
                for item in co_subjects
                if compute_term(item, tagged.time, facts, policy).anchor_at
            ),
        ],
        reason=ONLY_RESEARCH,
    )
