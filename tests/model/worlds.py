"""Small worlds, each with a few possible faults in every order, and the wrong rules that they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from tests.model import deleter, outside, recorder
from tests.model.checker import STUCK, Move, Verdict, explore
from tests.model.recorder import OUT
from tests.model.state import Promise, State, World

HELD = World(future=(("hold", 0),))
TWO = World(persons=(0, 1), known={("gone", 0), ("gone", 1)}, recorded={0, 1})
UNRECORDED = World(recorded=set(), future=(("record", 0),), recorders=1)
STRANGER = World(persons=(0, 1), known={("gone", 1)}, future=(("record", 1),), same_key={0, 1})
OLD_TIME = World(persons=(0, 0), known=set(), future=(("record", 1),), history={1})
WORLDS = {
    "hold": World(future=(("hold", 0), ("release", 0)), chances={"crash", "time-out"}),
    "slow": replace(HELD, chances={"five seconds", "crash", "hide"}, deleters=2),
    "parked": replace(HELD, chances={"park", "crash"}),
    "clock": World(future=(("back", 0), ("gone again", 0)), chances={"impatient"}),
    "policy": World(chances={"activate", "impatient"}),
    "recorders": replace(UNRECORDED, known=set(), future=(("record", 0), ("gone", 0)), recorders=2),
    "dating": replace(UNRECORDED, chances={"activate"}, policy=1, last=1),
    "halved": replace(HELD, chances={"halve", "impatient", "time-out"}),
    "two": replace(TWO, future=HELD.future, chances={"impatient", "refuse"}),
    "answers": replace(TWO, chances={"lost item", "refuse"}),
    "proof": World(chances={"miss", "unchecked", "impatient", "agent dies"}),
    "recall refused": replace(HELD, chances={"refuse recall", "pause"}),
    "inbox": replace(HELD, chances={"inbox lost", "impatient"}),
    "restored system": replace(HELD, chances={"system restored", "impatient"}),
    "restored ledger": replace(HELD, chances={"ledger restored", "time-out"}),
    "restored policy": World(chances={"ledger restored", "activate"}),
    "stranger": STRANGER,
    "old time": OLD_TIME,
}
LARGE = {
    "clock, deaths": replace(WORLDS["clock"], chances={"crash", "impatient"}),
    "policy, deaths": replace(
        WORLDS["policy"], chances={"activate", "crash", "impatient", "halve"}
    ),
}


class OldRule(NamedTuple):
    """A rule that breaks an invariant: where it was found, in which world, and which invariant."""

    hole: str
    rule: str
    world: str
    breaks: str


REFUSED = [
    OldRule("A1", "emission decides nothing", "policy", Promise.POLICY),
    OldRule("A2", "emission is blind", "slow", Promise.UNREAD),
    OldRule("A3", "the active policy is not locked", "dating", STUCK),
    OldRule("A4", "subjects are not locked", "recorders", STUCK),
    OldRule("A5", "what emission drops stays", "clock", STUCK),
    OldRule("A6 time", "an event's time is believed", "old time", Promise.MINIMUM),
    OldRule("A6 keys", "keys are believed", "stranger", Promise.MINIMUM),
    OldRule("A7", "what is parked is recorded", "parked", Promise.UNREAD),
    OldRule("A8", "what is not shown is empty", "slow", Promise.UNREAD),
    OldRule("B6, ids from contents", "ids follow from contents", "hold", STUCK),
    OldRule("C2", "a failed recall counts", "recall refused", Promise.TRUE),
    OldRule("C4", "recalls wait behind a pause", "recall refused", STUCK),
    OldRule("a hold is passed by", "emission decides nothing", "hold", Promise.HOLD),
    OldRule("produce before commit", "produce before commit", "hold", Promise.KNOWN),
    OldRule("recall by command", "recalls name commands", "halved", Promise.OBEYED),
    OldRule("items renumbered", "items are renumbered", "two", Promise.TRUE),
    OldRule("a lower attempt", "a lower attempt frees", "two", Promise.TRUE),
    OldRule("refused for a whole", "refused speaks for a whole", "two", Promise.TRUE),
    OldRule("a topic unread", "the agent obeys unread", "hold", Promise.OBEYED),
    OldRule("an inbox lost", "positions outlive the inbox", "inbox", Promise.OBEYED),
    OldRule("sums across plans", "sums are compared across plans", "policy", Promise.POLICY),
    OldRule("no adoption", "nothing is adopted", "restored ledger", Promise.KNOWN),
    OldRule("proof by omission", "what is not checked is proven", "proof", Promise.TRUE),
    OldRule("done without a count", "done has no count", "answers", Promise.TRUE),
    OldRule("ruling 2", "ends are never too old", "slow", Promise.UNREAD),
    OldRule("ruling 9, numbers", "numbers fall", "restored ledger", Promise.TRUE),
    OldRule("ruling 9, in flight", "adoption waits for nothing", "restored ledger", Promise.KNOWN),
    OldRule("ruling 9, policy", "a restored policy is trusted", "restored policy", Promise.POLICY),
    OldRule("ruling 9, system", "no fence after a restore", "restored system", Promise.TRUE),
    OldRule("ruling 4, recalled", "recalled without looking", "inbox", Promise.TRUE),
    OldRule("ruling 6, refused", "refused without looking", "two", Promise.TRUE),
    OldRule("ruling 6, found", "what is found is free at once", "proof", Promise.KNOWN),
]


def is_settled(world: World, state: State) -> bool:
    """Return whether each erasure is proven, refused, or no longer required."""
    ledger = state.ledger
    unknown = state.unread or state.parked or state.back or ledger.is_blind
    if unknown or state.tick < world.last:
        return False
    for record, obligation in enumerate(ledger.obligations):
        if world.right.asks(ledger.facts, state.policy, state.tick, record):
            waits = state.is_paused and obligation.state != "recalling"
            if obligation.state not in ("erased", "refused") and not waits:
                return False
        elif obligation.state in ("unsent", *OUT, "recalling", "acknowledged"):
            return False
    return True


def run(world: World) -> Verdict:
    """Visit every state of a world."""

    def moves(state: State) -> Iterator[Move[State]]:
        for part in (recorder, deleter, outside):
            yield from part.moves(world, state)

    return explore(world.first(), moves, outside.judge, lambda state: is_settled(world, state))
