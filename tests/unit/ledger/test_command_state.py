"""The states of a command: the whole table, written out by hand."""

from __future__ import annotations

from typing import get_args

import pytest

from services.ledger.command_state import (
    OUTSTANDING,
    RELEASED,
    CommandEvent,
    IllegalTransition,
    State,
    next_state,
)

STATES: tuple[State, ...] = get_args(State)
HAPPENINGS: tuple[CommandEvent, ...] = get_args(CommandEvent)
SETTLED: tuple[State, ...] = (
    *("acknowledged", "erased", "attested", "reopened"),
    *("cancelled", "recalled", "closed"),
)

UNSENT = {"sending": "sending", "clock_changed": "cancelled", "closed_by_operator": "closed"}
SENDING = {
    "sending": "sending",
    "sent": "sent",
    "clock_changed": "recalling",
    "closed_by_operator": "closed",
    "done": "acknowledged",
    "nothing_held": "acknowledged",
    "already_done": "acknowledged",
    "partial": "sending",
    "failed": "sending",
    "refused": "refused",
}
SENT = {**SENDING, "sending": "sent", "partial": "sent", "failed": "sent"}
RECALLING = {
    **SENDING,
    "sending": "recalling",
    "sent": "recalling",
    "clock_changed": "recalling",
    "partial": "recalling",
    "failed": "recalling",
    "refused": "recalling",
    "recalled": "recalled",
}
REFUSED = {
    "sending": "sending",
    "sent": "sent",
    "clock_changed": "recalling",
    "closed_by_operator": "closed",
    "done": "acknowledged",
    "nothing_held": "acknowledged",
    "already_done": "acknowledged",
    "partial": "refused",
    "failed": "refused",
    "refused": "refused",
}
TABLE = {
    "unsent": UNSENT,
    "sending": SENDING,
    "sent": SENT,
    "recalling": RECALLING,
    "refused": REFUSED,
    "acknowledged": {
        "proven": "erased",
        "still_present": "reopened",
        "attested_only": "attested",
        "restored": "reopened",
    },
    "erased": {"restored": "reopened"},
    "attested": {"restored": "reopened"},
}


@pytest.mark.parametrize(
    ("state", "happening", "following"),
    [
        (state, happening, following)
        for state, ways in TABLE.items()
        for happening, following in ways.items()
    ],
)
def test_a_command_changes_state_as_in_the_table(
    state: State, happening: CommandEvent, following: State
) -> None:
    """Each possible transition is tried."""
    assert next_state(state, happening) == following


@pytest.mark.parametrize(
    "happening",
    [
        *("done", "nothing_held", "already_done", "partial", "failed", "refused", "recalled"),
        *("sent", "proven", "still_present", "attested_only", "restored"),
    ],
)
def test_an_unsent_command_cannot_be_acknowledged(happening: CommandEvent) -> None:
    """It would show a fault, or a system that acknowledges what was not commanded."""
    with pytest.raises(IllegalTransition) as refused:
        next_state("unsent", happening)
    assert (refused.value.state, refused.value.event) == ("unsent", happening)


@pytest.mark.parametrize("state", SETTLED)
@pytest.mark.parametrize(
    "happening",
    [
        "clock_changed",
        "done",
        "nothing_held",
        "already_done",
        "partial",
        "failed",
        "refused",
        "recalled",
    ],
)
def test_a_final_state_does_not_change(state: State, happening: CommandEvent) -> None:
    """A late or repeated acknowledgement changes nothing, nor does time; a contradiction is reported."""
    if state == "recalled" and happening in ("done", "already_done"):
        with pytest.raises(IllegalTransition):
            next_state(state, happening)
    else:
        assert next_state(state, happening) == state


@pytest.mark.parametrize("state", [state for state in SETTLED if state != "acknowledged"])
@pytest.mark.parametrize("happening", ["proven", "still_present", "attested_only"])
def test_the_first_result_of_a_verification_is_final(state: State, happening: CommandEvent) -> None:
    """A verified erasure is not reopened by a later result, nor the other way round."""
    assert next_state(state, happening) == state


@pytest.mark.parametrize("state", ["sending", "sent", "recalling", "refused"])
@pytest.mark.parametrize("happening", ["proven", "still_present", "attested_only"])
def test_only_acknowledged_commands_are_verified(state: State, happening: CommandEvent) -> None:
    """A verification of an open command shows a fault."""
    with pytest.raises(IllegalTransition):
        next_state(state, happening)


@pytest.mark.parametrize("state", SETTLED)
@pytest.mark.parametrize("happening", ["sending", "sent", "closed_by_operator"])
def test_a_command_in_a_final_state_is_not_sent_or_given_up(
    state: State, happening: CommandEvent
) -> None:
    """What is done is not sent again, and what is over cannot be given up."""
    with pytest.raises(IllegalTransition):
        next_state(state, happening)


def test_only_commands_that_were_not_carried_out_release_their_records() -> None:
    """Cancelled, recalled and abandoned ones leave their records to other commands."""
    assert set(RELEASED) == {"cancelled", "recalled", "closed"}
    assert set(OUTSTANDING) == {"unsent", "sending", "sent", "recalling"}
    assert set(OUTSTANDING) | set(SETTLED) | {"refused"} == set(STATES)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("happening", HAPPENINGS)
def test_every_transition_from_every_state_is_defined(
    state: State, happening: CommandEvent
) -> None:
    """It results in a state, or in an error that names both."""
    try:
        assert next_state(state, happening) in STATES
    except IllegalTransition as refused:
        assert str(refused) == f"a command that is {state} cannot be {happening}"  # noqa: PT017
