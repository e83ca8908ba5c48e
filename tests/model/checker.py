"""A model checker: it visits every state and shows the shortest path to a broken invariant.

`musil` (PyPI) would do this, but needs Python 3.12 where Termijn runs on 3.11; this is the part that it
takes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)

STUCK = "nothing waits without end"
"""From every state one is reached in which all is settled, if what is able to go on does go on."""


class Move(NamedTuple, Generic[S]):
    """One step of an actor; a step that is not fair is a mishap or a choice, and may never happen."""

    label: str
    after: S
    fair: bool = True
    fault: str | None = None  # the invariant that this step breaks


class Verdict(NamedTuple):
    """The invariant that was broken, if any, and the shortest path to it."""

    states: int
    steps: int
    broken: str | None = None
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.states} states, {self.steps} steps: {self.broken or 'everything holds'}"]
        return "\n".join(lines + [f"  {n}. {step}" for n, step in enumerate(self.trace, start=1)])


def explore(
    first: S,
    moves: Callable[[S], Iterable[Move[S]]],
    judge: Callable[[S], str | None],
    is_settled: Callable[[S], bool],
    most: int = 5_000_000,
) -> Verdict:
    """Visit every state from the first one on, breadth first, until an invariant breaks.

    Raises:
        RuntimeError: there are more than `most` states, so nothing is proven.
    """
    numbers = {first: 0}
    states = [first]
    came: list[tuple[int, str]] = [(-1, "")]
    before: list[list[int]] = [[]]
    steps = 0

    def way(to: int) -> tuple[str, ...]:
        labels = []
        while to > 0:
            to, label = came[to]
            labels.append(label)
        return tuple(reversed(labels))

    for at, state in enumerate(states):  # which grows meanwhile
        for move in moves(state):
            steps += 1
            number = numbers.setdefault(move.after, len(states))
            fault = move.fault
            if number == len(states):
                states.append(move.after)
                came.append((at, move.label))
                before.append([])
                fault = fault or judge(move.after)
            if fault:
                return Verdict(len(states), steps, fault, (*way(at), move.label))
            if move.fair:
                before[number].append(at)
        if len(states) > most:
            raise RuntimeError(f"more than {most} states: make the world smaller")
    waiting = [number for number, state in enumerate(states) if is_settled(state)]
    able = set(waiting)
    while waiting:
        earlier = set(before[waiting.pop()]) - able
        able |= earlier
        waiting.extend(earlier)
    stuck = next((number for number in range(len(states)) if number not in able), None)
    if stuck is None:
        return Verdict(len(states), steps)
    return Verdict(len(states), steps, STUCK, way(stuck))
