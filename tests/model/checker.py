"""A checker of models: it visits every state, and shows the shortest way to a fault.

`musil` (PyPI) would do it, but needs Python 3.12 where Termijn runs on 3.11; this is what it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)

STUCK = "nothing waits without end"
"""From every state one is reached in which all is settled, if what is able to go on does go on."""


class Move(NamedTuple, Generic[S]):
    """One step of somebody."""

    label: str
    after: S
    fair: bool = True
    """It happens in the end if it stays possible; what is not fair is a misfortune, or somebody's whim."""
    fault: str | None = None
    """The invariant that this step breaks."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a run found."""

    states: int
    steps: int
    broken: str | None = None
    """The invariant, if one does not hold."""
    trace: tuple[str, ...] = ()
    """The shortest way there, described."""

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
        RuntimeError: there are more states than `most`; nothing is proven.
    """
    numbers = {first: 0}
    states = [first]
    came: list[tuple[int, str]] = [(-1, "")]
    before: list[list[int]] = [[]]
    steps = at = 0

    def way(to: int) -> tuple[str, ...]:
        found = []
        while to > 0:
            to, label = came[to]
            found.append(label)
        return tuple(reversed(found))

    while at < len(states):
        for move in moves(states[at]):
            steps += 1
            number = numbers.setdefault(move.after, len(states))
            if number == len(states):
                states.append(move.after)
                came.append((at, move.label))
                before.append([])
            if move.fair:
                before[number].append(at)
            broken = move.fault or (judge(move.after) if number == len(states) - 1 else None)
            if broken:
                trace = (*way(at), move.label)
                return Verdict(states=len(states), steps=steps, broken=broken, trace=trace)
        at += 1
        if len(states) > most:
            raise RuntimeError(f"more than {most} states: make the world smaller")
    able = {number for number, state in enumerate(states) if is_settled(state)}
    waiting = list(able)
    while waiting:
        for number in before[waiting.pop()]:
            if number not in able:
                able.add(number)
                waiting.append(number)
    stuck = next((number for number in range(len(states)) if number not in able), None)
    if stuck is None:
        return Verdict(states=len(states), steps=steps)
    return Verdict(states=len(states), steps=steps, broken=STUCK, trace=way(stuck))
