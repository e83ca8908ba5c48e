"""Purposes that were restricted because they had ended, and that go on again: their restriction is lifted.

A purpose goes on again after a clock was opened again or ended later, after a new consent, or under another
policy. Nothing is lifted that a person's own objection or request restricts (GDPR 18, 21).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from services.ledger.purpose_commands import PurposeCommand
from services.policy import rights_effects
from services.policy.model import Policy
from services.policy.obligation import (
    HoldingWindow,
    Obligation,
    build_obligation,
    purpose_ends_at,
)
from services.policy.reasons import PURPOSE_RESUMED
from services.policy.retention_windows import Facts, compute_window
from services.policy.tagged_event import TaggedEvent

UsablePurposes = Mapping[tuple[str, str], Sequence[HoldingWindow]]
"""The holdings of each purpose that goes on unrestricted, by system and purpose."""


class RestrictionReview(NamedTuple):
    """What follows for a record from its restrictions and lifts of purposes so far."""

    lifts: Sequence[Obligation]
    """Lifts that are required, with those that are not carried out yet."""
    in_force: Collection[PurposeCommand]
    """Restrictions that the systems have carried out, and not lifted since."""
    over: Collection[PurposeCommand]
    """Lifts that were carried out, and the restrictions that they ended."""

    def restricts(self, obligation: Obligation) -> bool:
        """Return whether an obligation only restricts what is restricted already."""
        if obligation.action != "restrict" or obligation.cause:
            return False
        restricted = {
            purpose
            for command in self.in_force
            if command.system == obligation.system
            and (obligation.keyless or not command.is_keyless)
            for purpose in command.purposes
        }
        return restricted.issuperset(obligation.purposes)


NOTHING_RESTRICTED = RestrictionReview((), (), ())


def review_restrictions(
    commands: Sequence[PurposeCommand],
    tagged: TaggedEvent,
    subject: str,
    facts: Facts,
    policy: Policy,
    now: datetime,
) -> RestrictionReview:
    """Return what follows for the record of a subject from its commands, in their order, at `now`, UTC."""
    if not commands:
        return NOTHING_RESTRICTED
    lifts = [command for command in commands if command.action == "lift"]
    over = [command for command in lifts if command.is_carried_out]
    pending = [command for command in lifts if not command.is_carried_out]
    in_force: list[PurposeCommand] = []
    for command in commands:
        if command.action == "restrict" and command.is_carried_out:
            is_lifted = any(_ends(lift, command) for lift in over)
            (over if is_lifted else in_force).append(command)
    usable = usable_purposes(tagged, subject, facts, policy, now)
    wanted = [command for command in pending if may_lift(command.system, command.purposes, usable)]
    by_system: defaultdict[str, set[str]] = defaultdict(set)
    for command in in_force:
        by_system[command.system].update(
            purpose for purpose in command.purposes if (command.system, purpose) in usable
        )
    for command in wanted:
        by_system[command.system].difference_update(command.purposes)
    needed = [(command.system, command.purposes) for command in wanted]
    needed += [(system, tuple(sorted(names))) for system, names in by_system.items() if names]
    return RestrictionReview(
        lifts=[_lift(system, purposes, usable, now) for system, purposes in needed],
        in_force=in_force,
        over=over,
    )


def usable_purposes(
    tagged: TaggedEvent, subject: str, facts: Facts, policy: Policy, now: datetime
) -> UsablePurposes:
    """Return the purposes of a record that go on at `now`, UTC, and that the person does not restrict."""
    state = facts.subject_state(subject)
    holdings: defaultdict[tuple[str, str], list[HoldingWindow]] = defaultdict(list)
    restricted: set[str] = set()
    for holding in tagged.by_subject.get(subject, ()):
        window = compute_window(holding, tagged.time, facts, policy)
        item = HoldingWindow(window.holding, window)
        for system in item.holding.systems:
            holdings[system, item.holding.purpose].append(item)
        if state and any(
            restriction.start <= now and (restriction.end is None or now < restriction.end)
            for restriction in rights_effects.list_restrictions(
                item.holding, tagged.time, state, policy
            )
        ):
            restricted.add(item.holding.purpose)
    return {
        (system, purpose): items
        for (system, purpose), items in holdings.items()
        if purpose not in restricted and not _has_ended(system, items, now)
    }


def may_lift(system: str, purposes: Iterable[str], usable: UsablePurposes) -> bool:
    """Return whether all of these purposes go on unrestricted in a system."""
    return all((system, purpose) in usable for purpose in purposes)


def _has_ended(system: str, holdings: Iterable[HoldingWindow], now: datetime) -> bool:
    ends_at = purpose_ends_at(system, holdings)
    return ends_at is not None and ends_at <= now


def _ends(lift: PurposeCommand, restriction: PurposeCommand) -> bool:
    """Return whether a lift was commanded after a restriction, and lifts one of its purposes."""
    return (
        lift.system == restriction.system
        and lift.seq > restriction.seq
        and not set(lift.purposes).isdisjoint(restriction.purposes)
    )


def _lift(
    system: str, purposes: Sequence[str], usable: UsablePurposes, now: datetime
) -> Obligation:
    resumed = [item for purpose in purposes for item in usable[system, purpose]]
    return build_obligation(
        system,
        "lift",
        resumed,
        at=now,
        erase_by=now,
        clocks=[clock for item in resumed for clock in item.holding.clocks],
        reason=PURPOSE_RESUMED,
    )
