"""Lint warnings on retention clocks that may stay open, so that data is kept without an alarm."""

from __future__ import annotations

from collections.abc import Iterator

from services.policy.conditions import rules_of
from services.policy.event_type import EventType, HoldingRule, MoveRule
from services.policy.model import Policy


def clocks_that_may_stay_open(policy: Policy) -> Iterator[tuple[str, str]]:
    """Return the key and the message of each warning.

    A clock without `max_open` is named if an event holds data that waits for its end, and does not itself
    end it: if the event that does never comes, the data stays. What can also start it makes no difference.
    """
    ended = {
        move.clock for event in policy.events.values() for move in event.moves if move.move == "end"
    }
    waiting: dict[str, dict[str, None]] = {}
    for event in policy.events.values():
        for holding in event.holdings:
            for rule, awaited in _waits_for(holding, policy):
                if not any(_ends(move, awaited, holding, event, policy) for move in event.moves):
                    waiting.setdefault(awaited, {})[rule] = None
    for name, clock in policy.clocks.items():
        if (
            name in waiting
            and clock.max_open is None
            and not ended.isdisjoint({name, clock.parent})
        ):
            rules = ", ".join(waiting[name])
            yield (
                f"clocks.{name}",
                f"may stay open, and what {rules} keeps with it, without an alarm; set `max_open`",
            )


def _waits_for(holding: HoldingRule, policy: Policy) -> Iterator[tuple[str, str]]:
    """Return each rule of a holding that has no end while a clock is open, with the clock."""
    for name in rules_of(holding, policy):
        rule = policy.rules[name]
        clocks = [part.anchor.clock for part in rule.parts if not part.if_any]
        if rule.ends == "first" and None in clocks:
            continue  # another end is known without a clock
        yield from ((name, clock) for clock in clocks if clock)


def _ends(
    move: MoveRule, clock: str, holding: HoldingRule, event: EventType, policy: Policy
) -> bool:
    """Return whether the event of a holding surely ends the very clock for which the holding waits."""
    if move.at is not None and not event.fields[move.at].required:
        return False
    keys = policy.clocks[clock].key
    own = [holding.key.get(key, key) for key in keys]
    return (move.clock, move.move) == (clock, "end") and [
        move.key.get(key, key) for key in keys
    ] == own
