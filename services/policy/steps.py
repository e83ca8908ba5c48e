"""Steps: what each system has to be told about a record, and when.

A record is an event's data on one subject. A system keeps it until the last purpose that it serves has
ended; purposes that end earlier are told to it as a restriction (GDPR 18); research works on a pseudonym
as soon as nothing but research and statute needs the person (art. 5(1)(c), 89(1)).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.policy.model import Policy
from services.policy.tagging import ClockKey, Holding, Tagged
from services.policy.windows import Anchors, Window, due, window

Action = Literal["erase", "restrict", "pseudonymise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
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


@dataclass(frozen=True, slots=True)
class _Held:
    holding: Holding
    window: Window


def steps(tagged: Tagged, subject: str, anchors: Anchors, policy: Policy) -> tuple[Step, ...]:
    """Every step whose time is known, for the record of one subject of an event, earliest first."""
    own = [
        _Held(holding, window(holding, tagged.time, anchors, policy))
        for holding in tagged.holdings
        if holding.subject == subject
    ]
    found: list[Step] = []
    for system in sorted({system for one in own for system in one.holding.systems}):
        serving = [one for one in own if system in one.holding.systems]
        erasure = _erasure(system, serving)
        if erasure is not None:
            found.append(erasure)
        found.extend(_restrictions(system, serving, erasure))
        pseudonymisation = _pseudonymisation(system, serving, tagged, anchors, policy)
        if pseudonymisation and not (erasure and erasure.due <= pseudonymisation.due):
            found.append(pseudonymisation)
    return tuple(sorted(found, key=lambda step: (step.due, step.system, step.action)))


def clocks(tagged: Tagged, subject: str, policy: Policy) -> tuple[ClockKey, ...]:
    """The shared clocks on which any step of the record hangs."""
    own = [holding for holding in tagged.holdings if holding.subject == subject]
    relevant = list(own)
    if any(policy.rules[holding.rule].pseudonymise for holding in own):
        relevant.extend(_others(tagged, policy))
    return tuple(dict.fromkeys(holding.clock for holding in relevant if holding.clock))


def own_wakes(tagged: Tagged, subject: str, policy: Policy) -> tuple[datetime, ...]:
    """The instants, fixed by the event itself, at which a step of the record can become due."""
    found: set[datetime] = set()
    own = [holding for holding in tagged.holdings if holding.subject == subject]
    for holding in own:
        if holding.clock is None:
            view = window(holding, tagged.time, _no_clock, policy)
            found.update(at for at in view.due_at.values() if at is not None)
        if policy.rules[holding.rule].pseudonymise:
            found.update(_pseudonymisation_wakes(holding, tagged, policy))
    return tuple(sorted(found))


def _pseudonymisation_wakes(holding: Holding, tagged: Tagged, policy: Policy) -> Iterator[datetime]:
    others = _others(tagged, policy)
    if not others:
        yield tagged.time
    for system in holding.systems:
        for other in others:
            if other.clock is None:
                at = _released(other, system, tagged.time, _no_clock, policy)
                if at is not None:
                    yield at


def _no_clock(_: ClockKey) -> None:
    return None


def _others(tagged: Tagged, policy: Policy) -> tuple[Holding, ...]:
    """The event's holdings, over all its subjects, for which pseudonymisation has to wait."""
    return tuple(
        holding
        for holding in tagged.holdings
        if not policy.bases[holding.basis].statutory and not policy.rules[holding.rule].pseudonymise
    )


def _released(
    holding: Holding, system: str, event_time: datetime, anchors: Anchors, policy: Policy
) -> datetime | None:
    """When a holding no longer keeps `system` from pseudonymising, by that system's lead time."""
    view = window(holding, event_time, anchors, policy)
    if view.anchor_at is None:
        return None
    return due(policy.rules[holding.rule], view.anchor_at, policy.systems[system].lead, policy)


def _step(
    system: str,
    action: Action,
    ended: list[_Held],
    *,
    at: datetime,
    erase_by: datetime,
    hangs_on: Iterable[Holding],
    reason: str,
    not_before: datetime | None = None,
) -> Step:
    return Step(
        system=system,
        action=action,
        due=at,
        not_before=not_before,
        erase_by=erase_by,
        rules=tuple(sorted({one.holding.rule for one in ended})),
        purposes=tuple(sorted({one.holding.purpose for one in ended})),
        clocks=tuple(dict.fromkeys(holding.clock for holding in hangs_on if holding.clock)),
        reason=reason,
    )


def _erasure(system: str, serving: list[_Held]) -> Step | None:
    known = [at for one in serving if (at := one.window.due_at[system]) is not None]
    if len(known) < len(serving):
        return None
    floors = [one.window.not_before for one in serving if one.window.not_before]
    return _step(
        system,
        "erase",
        serving,
        at=max(known + floors),
        not_before=max(floors, default=None),
        erase_by=max(one.window.erase_by for one in serving if one.window.erase_by),
        hangs_on=[one.holding for one in serving],
        reason="the last purpose has ended" if len(serving) > 1 else "the purpose has ended",
    )


def _restrictions(system: str, serving: list[_Held], erasure: Step | None) -> Iterator[Step]:
    by_due: dict[datetime, list[_Held]] = {}
    for one in serving:
        at = one.window.due_at[system]
        if at is not None and (erasure is None or at < erasure.due):
            by_due.setdefault(at, []).append(one)
    for at, ended in by_due.items():
        yield _step(
            system,
            "restrict",
            ended,
            at=at,
            erase_by=max(one.window.erase_by for one in ended if one.window.erase_by),
            hangs_on=[one.holding for one in ended],
            reason="a purpose has ended, another goes on",
        )


def _pseudonymisation(
    system: str,
    serving: list[_Held],
    tagged: Tagged,
    anchors: Anchors,
    policy: Policy,
) -> Step | None:
    research = [one for one in serving if policy.rules[one.holding.rule].pseudonymise]
    if not research:
        return None
    others = _others(tagged, policy)
    released = [_released(other, system, tagged.time, anchors, policy) for other in others]
    known = [at for at in released if at is not None]
    if len(known) < len(released):
        return None
    ends = [window(other, tagged.time, anchors, policy).erase_by for other in others]
    return _step(
        system,
        "pseudonymise",
        research,
        at=max(known, default=tagged.time),
        erase_by=max((at for at in ends if at is not None), default=tagged.time),
        hangs_on=[*(one.holding for one in research), *others],
        reason="only research still needs it",
    )
