"""BatchBisection: what fails the same way again is done by halves, until the guilty one is alone.

One message that a database or a broker will never take must not hold back all others. Nothing is set
apart because something was away: only failures that are no passing ones count, and only when they come
back the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.kafka.error_classification import classify_error, error_signature

T = TypeVar("T")
_FAILURES_BEFORE_SPLIT = {"poison": 2, "suspect": 4}
"""So often a whole fails the same way before it is halved."""
_FAILURES_WHEN_SINGLE = {"poison": 1, "suspect": 2}
"""So often one that is alone does; what it was part of has failed so before."""
_MAX_ATTEMPTS = 12
"""So often a whole is tried at most, however its failures differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBisection:
    """How things are done that go together as long as nothing is wrong with one of them."""

    pause: Callable[[], None]
    """Called between two tries of the same."""

    def process(
        self,
        items: Sequence[T],
        apply: Callable[[Sequence[T]], None],
        set_aside: Callable[[T, Exception], None],
    ) -> None:
        """Do all, in their order; what fails by itself, the same way each time, is given to `alone`.

        `do` does all that it is given, or nothing of it.

        Raises:
            Whatever passes by itself, or ends the role: then what came before is done, the rest is not.
            Whatever `alone` raises.
        """
        self._process_chunk(items, apply, set_aside, is_whole=True)

    def _process_chunk(
        self,
        items: Sequence[T],
        apply: Callable[[Sequence[T]], None],
        set_aside: Callable[[T, Exception], None],
        *,
        is_whole: bool,
    ) -> None:
        cause = self._attempt(items, apply, is_whole=is_whole)
        if cause is None:
            return
        if len(items) == 1:
            set_aside(items[0], cause)
            return
        if not items:
            raise cause  # there is nobody to blame
        middle = len(items) // 2
        for half in (items[:middle], items[middle:]):
            self._process_chunk(half, apply, set_aside, is_whole=False)

    def _attempt(
        self, items: Sequence[T], apply: Callable[[Sequence[T]], None], *, is_whole: bool
    ) -> Exception | None:
        """Do it; what it fails of, if that is no passing trouble and came back the same."""
        last_signature: tuple[str, ...] = ()
        repetitions = 0
        for _ in range(_MAX_ATTEMPTS):
            try:
                apply(items)
            except Exception as cause:
                kind = classify_error(cause)
                if kind not in _FAILURES_BEFORE_SPLIT:
                    raise
                repetitions = repetitions + 1 if error_signature(cause) == last_signature else 1
                last_signature = error_signature(cause)
                needed = (
                    _FAILURES_BEFORE_SPLIT[kind]
                    if is_whole
                    else _FAILURES_WHEN_SINGLE[kind]
                    if len(items) == 1
                    else 1
                )
                if repetitions >= needed:
                    return cause
                last_failure = cause
            else:
                return None
            self.pause()
        return last_failure
