"""Small worlds: in each one a few things can go wrong, in every order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.model import deleter, outside, recorder
from tests.model.checker import Move, Verdict, explore
from tests.model.state import State, World

HOLD = ("hold", 0)
RELEASE = ("release", 0)
BACK = ("back", 0)
GONE = ("gone", 0)

WORLDS = {
    "hold": World(future=(HOLD, RELEASE), chances=("crash", "time-out")),
    "slow": World(future=(HOLD,), chances=("five seconds", "crash", "hide"), deleters=2),
    "parked": World(future=(HOLD,), chances=("park", "crash")),
    "clock": World(future=(BACK, ("gone again", 0)), chances=("impatient",)),
    "policy": World(chances=("activate", "impatient")),
    "recorders": World(
        known=frozenset(), recorded=frozenset(), future=(("record", 0), GONE), recorders=2
    ),
    "dating": World(
        recorded=frozenset(),
        future=(("record", 0),),
        chances=("activate",),
        recorders=1,
        policy=1,
        last=1,
    ),
    "halved": World(future=(HOLD,), chances=("halve", "impatient", "time-out")),
    "two": World(
        persons=(0, 1),
        known=frozenset({GONE, ("gone", 1)}),
        recorded=frozenset({0, 1}),
        future=(HOLD,),
        chances=("impatient", "refuse"),
    ),
    "answers": World(
        persons=(0, 1),
        known=frozenset({GONE, ("gone", 1)}),
        recorded=frozenset({0, 1}),
        chances=("lost item", "refuse"),
    ),
    "proof": World(chances=("miss", "unchecked", "impatient", "agent dies")),
    "recall refused": World(future=(HOLD,), chances=("refuse recall", "pause")),
    "inbox": World(future=(HOLD,), chances=("inbox lost", "impatient")),
    "restored system": World(future=(HOLD,), chances=("system restored", "impatient")),
    "restored ledger": World(future=(HOLD,), chances=("ledger restored", "time-out")),
    "restored policy": World(chances=("ledger restored", "activate")),
    "stranger": World(
        persons=(0, 1),
        known=frozenset({("gone", 1)}),
        recorded=frozenset({0}),
        future=(("record", 1),),
        same_key=frozenset({0, 1}),
    ),
    "old time": World(
        persons=(0, 0),
        known=frozenset(),
        recorded=frozenset({0}),
        future=(("record", 1),),
        history=frozenset({1}),
    ),
}


LARGE = {
    "clock": replace(WORLDS["clock"], chances=("crash", "impatient", "time-out")),
    "policy": replace(WORLDS["policy"], chances=("activate", "crash", "impatient", "halve")),
}


def is_settled(world: World, state: State) -> bool:
    """Whether each obligation is proven, refused, or not asked for."""
    if (
        state.unread
        or state.parked
        or state.ledger.is_blind
        or state.back
        or state.tick < world.last
    ):
        return False
    for record, one in enumerate(state.ledger.obligations):
        right = World(persons=world.persons, history=world.history, same_key=world.same_key)
        if right.asks(state.ledger.facts, state.policy, state.tick, record):
            waits = state.is_paused and one.state != "recalling"
            if one.state not in ("erased", "refused") and not waits:
                return False
        elif one.state in ("unsent", "sending", "sent", "recalling", "acknowledged"):
            return False
    return True


def run(world: World) -> Verdict:
    """Visit all that can happen in a world."""

    def moves(state: State) -> Iterator[Move[State]]:
        yield from recorder.moves(world, state)
        yield from deleter.moves(world, state)
        yield from outside.moves(world, state)

    return explore(world.first(), moves, outside.judge, lambda state: is_settled(world, state))
