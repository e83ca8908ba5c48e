"""Steps: what each system has to be told about a record, and when.

A record is an event's data on one subject. A system keeps it until the last purpose that it serves has
ended; purposes that end earlier are told to it as a restriction (GDPR 18); research works on a pseudonym
as soon as nothing but research and statute needs the person (art. 5(1)(c), 89(1)).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple

from services.policy import rights_effects
from services.policy.model import Policy
from services.policy.reasons import (
    ACCESS_REQUESTED,
    HOLD_RELEASED,
    LAST_PURPOSE_ENDED,
    ONLY_RESEARCH,
    OTHER_PURPOSE_REMAINS,
    PORTABILITY_REQUESTED,
    PURPOSE_ENDED,
    RECTIFICATION_REQUESTED,
)
from services.policy.retention_windows import (
    Facts,
    Window,
    command_time,
    compute_term,
    compute_window,
    event_anchor,
)
from services.policy.subject_state import VerifiedRequest
from services.policy.tagging import ClockKey, Holding, TaggedEvent

Action = Literal["erase", "restrict", "pseudonymise", "lift", "disclose", "rectify"]

KEYLESS_SUFFIX = " without contested keys"
"""What the key of a step ends with that is `keyless`."""
_ACTION_FOR_RIGHT: Mapping[str, tuple[Action, str]] = {
    "access": ("disclose", ACCESS_REQUESTED),
    "portability": ("disclose", PORTABILITY_REQUESTED),
    "rectification": ("rectify", RECTIFICATION_REQUESTED),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """One thing that one system has to do with one record, from `due` on; instants are UTC."""

    system: str
    action: Action
    due: datetime
    not_before: datetime | None
    """No command for it may leave, nor be obeyed, before this instant (a statute's minimum)."""
    erase_by: datetime
    rules: tuple[str, ...]
    purposes: tuple[str, ...]
    clocks: tuple[ClockKey, ...]
    """The shared clocks that it depends on: when one of them moves, the step is another."""
    reason: str
    cause: str = ""
    """The request or objection that asks for it, where a term does not."""
    keyless: bool = False
    """Whether its command leaves out the keys of which nobody knows whose they are."""

    @property
    def key(self) -> str:
        """What tells a record's steps in one system apart: there may be several restrictions."""
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
        """The request that asks for it, if one does."""
        kind, _, name = self.cause.partition(" ")
        return name if kind == "request" else None


@dataclass(frozen=True, slots=True)
class _HoldingWindow:
    holding: Holding
    window: Window


def obligations_of(
    tagged: TaggedEvent, subject: str, facts: Facts, policy: Policy
) -> tuple[Obligation, ...]:
    """Every step whose time is known, for the record of one subject of an event, earliest first."""
    own = []
    for holding in tagged.by_subject.get(subject, ()):
        view = compute_window(holding, tagged.time, facts, policy)
        own.append(_HoldingWindow(view.holding, view))
    standing = facts.subject_state(subject)
    found: list[Obligation] = []
    for system in sorted({system for one in own for system in one.holding.systems}):
        serving = [one for one in own if system in one.holding.systems]
        erasure = _erasure_obligation(system, serving)
        found.extend(_restriction_obligations(system, serving, erasure))
        pseudonymisation = _pseudonymisation_obligation(system, serving, tagged, facts, policy)
        if standing:
            found.extend(_obligations_from_rights(system, serving, tagged, facts, policy))
            erasure = _delayed_by_holds(erasure, tagged, subject, facts, policy)
            pseudonymisation = _delayed_by_holds(pseudonymisation, tagged, subject, facts, policy)
        if erasure is not None:
            found.append(erasure)
        if pseudonymisation and not (erasure and erasure.due <= pseudonymisation.due):
            found.append(pseudonymisation)
    return tuple(sorted(found, key=lambda step: (step.due, step.system, step.action)))


def clocks_of(tagged: TaggedEvent, subject: str, policy: Policy) -> tuple[ClockKey, ...]:
    """The shared clocks on which any step of the record hangs, or would were nothing retired."""
    relevant = [*tagged.by_subject.get(subject, ()), *tagged.retired_by_subject.get(subject, ())]
    if any(policy.rules[holding.rule].pseudonymise for holding in relevant):
        relevant.extend(
            _holdings_needing_identity((*tagged.holdings, *tagged.retired_holdings), policy)
        )
    return tuple(dict.fromkeys(holding.clock for holding in relevant if holding.clock))


def event_check_times(tagged: TaggedEvent, subject: str, policy: Policy) -> tuple[datetime, ...]:
    """The instants, fixed by the event itself, at which a step of the record can become due."""
    terms = event_terms(tagged, subject, policy)
    return tuple(sorted({one.command_time(tagged.time, policy) for one in terms}))


class EventTerm(NamedTuple):
    """A term that the event itself starts, as one system is to be told of its end."""

    rule: str | None
    """Without one it has run out at once."""
    system: str

    def command_time(self, event_time: datetime, policy: Policy) -> datetime:
        """When the command for it leaves."""
        if self.rule is None:
            return event_time
        rule = policy.rules[self.rule]
        anchor_at = event_anchor(rule, event_time, policy)
        return command_time(rule, anchor_at, policy.systems[self.system].lead_time_period, policy)


def event_terms(tagged: TaggedEvent, subject: str, policy: Policy) -> frozenset[EventTerm]:
    """Every term of the record that waits for no clock."""
    found: set[EventTerm] = set()
    for holding in tagged.by_subject.get(subject, ()):
        if holding.clock is None:
            rules = [holding.rule, *([holding.alternative.rule] if holding.alternative else [])]
            found.update(EventTerm(rule, system) for rule in rules for system in holding.systems)
        if policy.rules[holding.rule].pseudonymise:
            others = _co_subjects_holdings(tagged, policy)
            rules = [other.rule for other in others if other.clock is None]
            found.update(EventTerm(rule, system) for rule in rules for system in holding.systems)
            if not others:
                found.update(EventTerm(None, system) for system in holding.systems)
    return frozenset(found)


def _co_subjects_holdings(tagged: TaggedEvent, policy: Policy) -> tuple[Holding, ...]:
    """The event's holdings, over all its subjects, for which pseudonymisation has to wait."""
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
    """What the person's objections and requests ask of a system, beside erasure."""
    standing = facts.subject_state(serving[0].holding.subject)
    restricted: dict[str, tuple[rights_effects.Restriction, list[_HoldingWindow]]] = {}
    all_of = {
        id(one): tuple(rights_effects.list_restrictions(one.holding, tagged.time, standing, policy))
        for one in serving
    }
    for one in serving:
        for restriction in all_of[id(one)]:
            restricted.setdefault(restriction.cause, (restriction, []))[1].append(one)
    for asked, those in restricted.values():
        yield _requested_obligation(
            system, "restrict", those, asked.start, asked.cause, asked.reason
        )
        if asked.end is None:
            continue
        free = [one for one in those if _is_unrestricted(one, system, asked, all_of[id(one)])]
        if free:
            yield _requested_obligation(
                system, "lift", free, asked.end, asked.cause, asked.lifted_reason
            )
    for request in standing.requests:
        if request.right not in _ACTION_FOR_RIGHT or tagged.time > request.at:
            continue
        action, reason = _ACTION_FOR_RIGHT[request.right]
        those = [one for one in serving if _applies_to(request, one.holding, policy)]
        if those:
            yield _requested_obligation(
                system, action, those, request.at, f"request {request.id}", reason
            )


def _is_unrestricted(
    one: _HoldingWindow,
    system: str,
    ended: rights_effects.Restriction,
    others: Iterable[rights_effects.Restriction],
) -> bool:
    """Whether a holding may be used again when a restriction ends: nothing else restricts it then."""
    at, due_at = ended.end, one.window.due_at[system]
    return (
        at is not None
        and (due_at is None or due_at > at)
        and not any(
            other.cause != ended.cause
            and other.start <= at
            and (other.end is None or at < other.end)
            for other in others
        )
    )


def _applies_to(request: VerifiedRequest, holding: Holding, policy: Policy) -> bool:
    return (
        request.right != "portability"
        or policy.bases[holding.basis].ground in rights_effects.BASES_WITH_PORTABILITY
    )


def _requested_obligation(
    system: str, action: Action, those: list[_HoldingWindow], at: datetime, cause: str, reason: str
) -> Obligation:
    step = _build_obligation(
        system, action, those, at=at, erase_by=at, depends_on=(), reason=reason
    )
    return replace(step, cause=cause)


def _delayed_by_holds(
    step: Obligation | None, tagged: TaggedEvent, subject: str, facts: Facts, policy: Policy
) -> Obligation | None:
    """The step as the holds on the record leave it; nothing while one is open at its instant."""
    if step is None:
        return None
    free = rights_effects.released_at(step.due, tagged.id, facts.subject_state(subject))
    if free is None or free == step.due:
        return step if free else None
    erase_by = max(step.erase_by, free + policy.systems[step.system].lead_time_period.exact)
    return replace(step, due=free, erase_by=erase_by, reason=HOLD_RELEASED)


def _pseudonymisation_due(
    holding: Holding, system: str, tagged: TaggedEvent, facts: Facts, policy: Policy
) -> tuple[datetime, datetime] | None:
    """When a holding no longer keeps `system` from pseudonymising, and by when that must be done."""
    lead = policy.systems[system].lead_time_period
    at = compute_term(holding, tagged.time, facts, policy).command_time(lead, policy)
    by = compute_window(holding, tagged.time, facts, policy).erase_by
    if at is None or by is None:
        return None
    free = rights_effects.released_at(at, tagged.id, facts.subject_state(holding.subject))
    if free is None or free == at:
        return (at, by) if free else None
    return free, max(by, free + lead.exact)


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
        rules=tuple(sorted({one.holding.rule for one in ended})),
        purposes=tuple(sorted({one.holding.purpose for one in ended})),
        clocks=tuple(dict.fromkeys(holding.clock for holding in depends_on if holding.clock)),
        reason=reason,
    )


def _erasure_obligation(system: str, serving: list[_HoldingWindow]) -> Obligation | None:
    known = [at for one in serving if (at := one.window.due_at[system]) is not None]
    if len(known) < len(serving):
        return None
    floors = [one.window.not_before for one in serving if one.window.not_before]
    at = max(known + floors)
    cuts = [
        one.window.early_end
        for one in serving
        if one.window.early_end and one.window.early_end.at == at
    ]
    natural = LAST_PURPOSE_ENDED if len(serving) > 1 else PURPOSE_ENDED
    return _build_obligation(
        system,
        "erase",
        serving,
        at=at,
        not_before=max(floors, default=None),
        erase_by=max(one.window.erase_by for one in serving if one.window.erase_by),
        depends_on=[one.holding for one in serving if one.window.anchor_at],
        reason=cuts[0].reason if cuts else natural,
    )


def _restriction_obligations(
    system: str, serving: list[_HoldingWindow], erasure: Obligation | None
) -> Iterator[Obligation]:
    by_due: dict[datetime, list[_HoldingWindow]] = {}
    for one in serving:
        at = one.window.due_at[system]
        if at is not None and (erasure is None or at < erasure.due):
            by_due.setdefault(at, []).append(one)
    for at, ended in by_due.items():
        yield _build_obligation(
            system,
            "restrict",
            ended,
            at=at,
            erase_by=max(one.window.erase_by for one in ended if one.window.erase_by),
            depends_on=[one.holding for one in ended if one.window.anchor_at],
            reason=OTHER_PURPOSE_REMAINS,
        )


def _pseudonymisation_obligation(
    system: str,
    serving: list[_HoldingWindow],
    tagged: TaggedEvent,
    facts: Facts,
    policy: Policy,
) -> Obligation | None:
    research = [one for one in serving if policy.rules[one.holding.rule].pseudonymise]
    if not research:
        return None
    others = _co_subjects_holdings(tagged, policy)
    released = [_pseudonymisation_due(other, system, tagged, facts, policy) for other in others]
    known = [one for one in released if one is not None]
    if len(known) < len(released):
        return None
    return _build_obligation(
        system,
        "pseudonymise",
        research,
        at=max((at for at, _ in known), default=tagged.time),
        erase_by=max((by for _, by in known), default=tagged.time),
        depends_on=[
            *(one.holding for one in research),
            *(one for one in others if compute_term(one, tagged.time, facts, policy).anchor_at),
        ],
        reason=ONLY_RESEARCH,
    )
