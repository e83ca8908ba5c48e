"""Texts with gaps for the identifiers of an event, such as `customer:` and then the customer's id."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any
from uuid import uuid4

_MAX_IDENTIFIERS = 32
PLACEHOLDERS = tuple(uuid4().hex for _ in range(_MAX_IDENTIFIERS))
"""Stand for the identifiers of an event, in order; no real value is equal to one."""
_find_placeholder = re.compile("|".join(PLACEHOLDERS))


class GapText:
    """A text with gaps for identifiers."""

    __slots__ = ("_format", "_pick", "_text")

    def __init__(self, text: str) -> None:
        """Make the gaps where the text has placeholders."""
        indices = [PLACEHOLDERS.index(name) for name in _find_placeholder.findall(text)]
        parts = _find_placeholder.split(text)
        self._text = text
        self._format = "%s".join(part.replace("%", "%%") for part in parts)
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


def _pick_nothing(_: Sequence[str]) -> tuple[str, ...]:
    return ()
