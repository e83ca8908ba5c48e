"""Process a batch in halves when it keeps failing the same way, until the item that causes it is alone.

One message that a database or a broker will never accept must not hold back all others. Nothing is set
aside because a service was unavailable: only failures that are not temporary count, and only when they
recur the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.kafka.error_classification import classify_error, error_signature

T = TypeVar("T")
_FAILURES_BEFORE_SPLIT = {"poison": 2, "suspect": 4}
"""How often a whole batch fails the same way before it is halved."""
_FAILURES_WHEN_SINGLE = {"poison": 1, "suspect": 2}
"""How often a single message fails the same way before it is set aside; its batch has failed so before."""
_MAX_ATTEMPTS = 12
"""How often the same items are tried at most, even if their failures differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBisection:
    """Processes items together as long as none of them fails on its own."""

    pause: Callable[[], None]
    """Called between two attempts at the same items."""

    def process(
        self,
        items: Sequence[T],
        apply: Callable[[Sequence[T]], None],
        set_aside: Callable[[T, Exception], None],
    ) -> None:
        """Apply all items in order; an item that keeps failing the same way is passed to `set_aside`.

        `apply` processes all items that it gets, or none of them.

        Raises:
            Exception: a temporary or fatal error of `apply`, or any of `set_aside`; the items before it are
                done, the others are not.
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
            raise cause  # no item caused it
        middle = len(items) // 2
        for half in (items[:middle], items[middle:]):
            self._process_chunk(half, apply, set_aside, is_whole=False)

    def _attempt(
        self, items: Sequence[T], apply: Callable[[Sequence[T]], None], *, is_whole: bool
    ) -> Exception | None:
        """Apply the items; return the error if it is not temporary and repeated the same way, else None."""
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
                allowed_failures = (
                    _FAILURES_BEFORE_SPLIT[kind]
                    if is_whole
                    else _FAILURES_WHEN_SINGLE[kind]
                    if len(items) == 1
                    else 1
                )
                if repetitions >= allowed_failures:
                    return cause
                last_failure = cause
            else:
                return None
            self.pause()
        return last_failure
