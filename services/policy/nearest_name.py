"""The nearest of the names that could have been meant, for errors about a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_SIMILARITY = 0.7
"""How alike two names must be, from 0 to 1: one wrong letter in three is the least."""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the end of an error that suggests the nearest of the names; empty if none is near."""
    nearest = nearest_name(name, names)
    return f"; did you mean {nearest}?" if nearest else ""


def nearest_name(name: str, names: Iterable[str], similarity: float = _SIMILARITY) -> str | None:
    """Return the nearest of the names; None if none is near."""
    by_key: dict[str, str] = {}
    for possible in sorted(names):
        by_key.setdefault(_key(possible), possible)
    near = get_close_matches(_key(name), by_key, n=1, cutoff=similarity)
    return by_key[near[0]] if near else None


def _key(name: str) -> str:
    """Return a name without what is easily mistaken: capitals, and the kind of separator."""
    return name.lower().replace("_", "-").replace(".", "-")
