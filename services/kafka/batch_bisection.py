"""Halving: what fails the same way again is done by halves, until the guilty one is alone.

One message that a database or a broker will never take must not hold back all others. Nothing is set
apart because something was away: only failures that are no passing ones count, and only when they come
back the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.kafka.errors import signature, verdict

T = TypeVar("T")
_TIMES = {"poison": 2, "suspect": 4}
"""So often a whole fails the same way before it is halved."""
_ALONE = {"poison": 1, "suspect": 2}
"""So often one that is alone does; what it was part of has failed so before."""
_MOST = 12
"""So often a whole is tried at most, however its failures differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halving:
    """How things are done that go together as long as nothing is wrong with one of them."""

    rest: Callable[[], None]
    """Called between two tries of the same."""

    def each(
        self,
        things: Sequence[T],
        do: Callable[[Sequence[T]], None],
        alone: Callable[[T, Exception], None],
    ) -> None:
        """Do all, in their order; what fails by itself, the same way each time, is given to `alone`.

        `do` does all that it is given, or nothing of it.

        Raises:
            Whatever passes by itself, or ends the role: then what came before is done, the rest is not.
            Whatever `alone` raises.
        """
        self._part(things, do, alone, whole=True)

    def _part(
        self,
        things: Sequence[T],
        do: Callable[[Sequence[T]], None],
        alone: Callable[[T, Exception], None],
        *,
        whole: bool,
    ) -> None:
        cause = self._tried(things, do, whole=whole)
        if cause is None:
            return
        if len(things) == 1:
            alone(things[0], cause)
            return
        if not things:
            raise cause  # there is nobody to blame
        middle = len(things) // 2
        for part in (things[:middle], things[middle:]):
            self._part(part, do, alone, whole=False)

    def _tried(
        self, things: Sequence[T], do: Callable[[Sequence[T]], None], *, whole: bool
    ) -> Exception | None:
        """Do it; what it fails of, if that is no passing trouble and came back the same."""
        seen: tuple[str, ...] = ()
        times = 0
        for _ in range(_MOST):
            try:
                do(things)
            except Exception as cause:
                kind = verdict(cause)
                if kind not in _TIMES:
                    raise
                times = times + 1 if signature(cause) == seen else 1
                seen = signature(cause)
                needed = _TIMES[kind] if whole else _ALONE[kind] if len(things) == 1 else 1
                if times >= needed:
                    return cause
                failed = cause
            else:
                return None
            self.rest()
        return failed
