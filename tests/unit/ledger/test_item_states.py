"""The states of a message's commands are written as a short text and read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger.command_state import State
from services.ledger.item_states import LETTERS, fill_up, read_states, state_at, write_states

STATES = st.dictionaries(st.integers(0, 40), st.sampled_from(list(LETTERS)), max_size=30)


@pytest.mark.parametrize(
    ("states", "items", "text"),
    [
        ({0: "erased"}, 1, "e"),
        ({0: "erased", 1: "erased"}, 2, "ee"),
        (dict.fromkeys(range(500), "sent"), 500, "500s"),
        ({2: "refused"}, 6, "..r3."),
        ({**dict.fromkeys(range(498), "erased"), 499: "refused"}, 500, "498e.r"),
        ({}, 3, "3."),
    ],
)
def test_states_are_written_as_one_letter_for_each_command(
    states: dict[int, State], items: int, text: str
) -> None:
    """Three or more equal letters in a row are counted."""
    assert write_states(states, items) == text


def test_each_state_has_a_letter_of_its_own() -> None:
    """Else one could be taken for another."""
    assert len(set(LETTERS.values())) == len(LETTERS) == 12


def test_a_text_about_the_first_commands_is_filled_up() -> None:
    """The others have not changed."""
    assert write_states({1: "erased"}) == ".e"
    assert fill_up(".e", 2) == ".e"
    assert fill_up(".e", 500) == ".e498."
    assert fill_up("..", 5) == "5."


@given(STATES)
def test_what_was_written_is_read(states: dict[int, State]) -> None:
    """In full, and for each command alone."""
    text = fill_up(write_states(states), 41)
    assert dict(read_states(text)) == states
    assert [state_at(text, place, 41) for place in range(41)] == [states.get(n) for n in range(41)]
    assert text == write_states(states, 41)


@pytest.mark.parametrize(
    ("text", "place", "items"),
    [
        ("e", 0, 2),
        ("2e", 0, 1),
        ("e", 1, 1),
        ("E", 0, 1),
        ("0e", 0, 1),
        ("e1", 0, 1),
        ("9999999999e", 0, 1),
        ("", 0, 1),
        ("b", 0, 1),
        ("é", 0, 1),
    ],
)
def test_a_text_of_another_form_is_an_error(text: str, place: int, items: int) -> None:
    """A certificate may contain anything."""
    with pytest.raises((ValueError, KeyError)):
        state_at(text, place, items)
