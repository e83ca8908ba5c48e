"""The states of a message's commands as a short text: a letter for each, in their order in the message.

A number before a letter counts the commands in a row that have it; `.` stands for a command that has not
changed. So `498e.r` is about 500 commands: 498 were erased, one did not change, one was refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from services.ledger.command_state import State

LETTERS: Final[Mapping[State, str]] = {
    "unsent": "u",
    "sending": "g",
    "sent": "s",
    "acknowledged": "a",
    "erased": "e",
    "attested": "t",
    "reopened": "o",
    "refused": "r",
    "cancelled": "c",
    "recalling": "l",
    "recalled": "d",
    "closed": "x",
}
UNCHANGED: Final = "."
_STATES: Final[Mapping[str, State]] = {letter: state for state, letter in LETTERS.items()}
_REPEATED = re.compile(r"(.)\1{2,}")
_RUN = re.compile(r"(\d{0,9})([a-z.])")
_TEXT = re.compile(r"(?:(?:\d{1,9})?[a-z.])*")


def write_states(states: Mapping[int, State], items: int | None = None) -> str:
    """Return the states by place, counted from 0, of so many commands; without `items`, up to the last."""
    size = max(states, default=-1) + 1 if items is None else items
    letters = [UNCHANGED] * size
    for place, state in states.items():
        letters[place] = LETTERS[state]
    return _shorten("".join(letters))


def fill_up(text: str, items: int) -> str:
    """Return a text that is about the first commands of a message as one about all its `items`."""
    return _shorten(
        "".join(letter * count for letter, count in _runs(text)).ljust(items, UNCHANGED)
    )


def read_states(text: str) -> Iterator[tuple[int, State]]:
    """Yield the place and the state of each command that has changed."""
    place = 0
    for letter, count in _runs(text):
        if letter != UNCHANGED:
            yield from ((number, _STATES[letter]) for number in range(place, place + count))
        place += count


def state_at(text: str, place: int, items: int) -> State | None:
    """Return the state of the command in a place of a text about so many; None if it has not changed.

    Raises:
        ValueError: the text has another form, or is about another number of commands.
    """
    if not _TEXT.fullmatch(text) or sum(count for _, count in _runs(text)) != items:
        raise ValueError(f"states: must be those of {items} commands")
    end = 0
    for letter, count in _runs(text):
        end += count
        if place < end:
            return _STATES[letter] if letter != UNCHANGED else None
    raise ValueError(f"item: must be below {items}, got {place}")


def _runs(text: str) -> Iterator[tuple[str, int]]:
    return ((letter, int(count or 1)) for count, letter in _RUN.findall(text))


def _shorten(letters: str) -> str:
    return _REPEATED.sub(lambda run: f"{len(run[0])}{run[1]}", letters)
