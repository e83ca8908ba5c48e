"""Texts with gaps for the identifiers of an event, such as `customer:` and then the customer's id."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any
from uuid import uuid4

_MAX_IDENTIFIERS = 32
_PREFIX = uuid4().hex
PLACEHOLDERS = tuple(f"{_PREFIX}{number:02}" for number in range(_MAX_IDENTIFIERS))
"""Stand for the identifiers of an event, in order; no real value has one in it."""
_placeholder = re.compile(rf"{_PREFIX}(\d\d)")


class GapText:
    """A text with gaps for identifiers."""

    __slots__ = ("_format", "_pick", "_text")

    def __init__(self, text: str) -> None:
        """Make the gaps where the text has placeholders."""
        indices = [int(number) for number in _placeholder.findall(text)]
        self._text = text
        self._format = _placeholder.sub("%s", text.replace("%", "%%"))
        self._pick: Callable[[Sequence[str]], Any] = (
            itemgetter(*indices) if indices else _pick_nothing
        )

    def fill(self, identifiers: Sequence[str]) -> str:
        """Return the text with these identifiers."""
        text: str = self._format % self._pick(identifiers)
        return text

    def __eq__(self, other: object) -> bool:
        """Return whether the other is the same text with the same gaps."""
        return isinstance(other, GapText) and self._text == other._text

    def __hash__(self) -> int:
        """Return the hash of the text."""
        return hash(self._text)


def has_placeholder(value: object) -> bool:
    """Return whether a decision field has a placeholder, in its text or in its list."""
    texts = value if isinstance(value, tuple) else (value,)
    return any(isinstance(text, str) and _placeholder.search(text) for text in texts)


def _pick_nothing(_: Sequence[str]) -> tuple[str, ...]:
    return ()
