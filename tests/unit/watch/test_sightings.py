"""What the watch knows of a command, in whatever order and however often it is seen."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.operations.watch.sightings import (
    CommandObservation,
    WatchedCommand,
    observations_of_acknowledgements,
    observations_of_commands,
    observe,
)
from services.operations.watch.table_rows import from_row, parse_place, to_row

T0 = datetime(2026, 3, 15, 13, tzinfo=UTC)


def at(seconds: int) -> datetime:
    return T0 + timedelta(seconds=seconds)


def sent(seconds: int, action: str = "erase", takes_back: str | None = None) -> CommandObservation:
    return CommandObservation(
        command_id="c1",
        system="crm",
        what="sent",
        at=at(seconds),
        action=action,
        takes_back=takes_back,
    )


def answered(seconds: int, status: str = "done") -> CommandObservation:
    return CommandObservation(
        command_id="c1", system="crm", what="answered", at=at(seconds), status=status
    )


def after(*sightings: CommandObservation) -> WatchedCommand:
    state: WatchedCommand | None = None
    for sighting in sightings:
        state = observe(state, sighting).watched
    assert state is not None
    return state


def test_a_command_is_outstanding_until_it_is_acknowledged() -> None:
    """An acknowledged command is no longer outstanding."""
    assert after(sent(0)).outstanding
    assert not after(sent(0), answered(5)).outstanding


@pytest.mark.parametrize("status", ["done", "nothing_held", "refused", "recalled", "already_done"])
def test_these_acknowledgements_complete_a_command(status: str) -> None:
    """No more is expected of the system, whatever it did."""
    assert after(sent(0), answered(5, status)).status == status


@pytest.mark.parametrize("status", ["failed", "partial"])
def test_these_acknowledgements_leave_a_command_outstanding(status: str) -> None:
    """The controller will send it again."""
    watched = after(sent(0), answered(5, status))
    assert watched.outstanding
    assert watched.failed_at == at(5)


def test_a_repeated_command_counts_once() -> None:
    """A repetition has the same id; the first time counts."""
    again = observe(after(sent(0)), sent(60))
    assert again.counted == ()
    assert again.watched.sent_at == at(0)


def test_the_time_to_answer_counts_once_command_and_answer_are_seen() -> None:
    """The answer may be seen before the command."""
    early = observe(None, answered(5))
    assert early.took_seconds is None
    late = observe(early.watched, sent(0))
    assert late.took_seconds == 5.0
    assert observe(late.watched, answered(5)).took_seconds is None


def test_an_answer_with_an_earlier_time_took_zero_seconds() -> None:
    """Never less than none."""
    assert observe(after(sent(10)), answered(5)).took_seconds == 0.0


@pytest.mark.parametrize("status", ["recalled", "already_done"])
def test_an_acknowledged_recall_completes_the_recalled_command(status: str) -> None:
    """Command and answer of the recall may be seen in any order."""
    expected = CommandObservation(
        command_id="c0", system="crm", what="answered", at=at(5), status=status
    )
    recall, answer = sent(0, "recall", "c0"), answered(5, status)
    assert observe(after(recall), answer).follow_up == expected
    assert observe(after(answer), recall).follow_up == expected
    assert observe(after(recall, answer), answer).follow_up is None


def test_a_failed_recall_leaves_its_command_open() -> None:
    """The command that it should cancel may still be carried out."""
    assert observe(after(sent(0, "recall", "c0")), answered(5, "failed")).follow_up is None


def test_a_command_and_an_answer_become_sightings_without_their_subject() -> None:
    """Only the fields that the watch needs are kept."""
    fields = {"command_id": "c1", "subject": "customer:C1", "supersedes": "c0"}
    batch = {"system": "crm", "issued_at": at(0), "commands": [fields, fields]}
    recalls = observations_of_commands({**batch, "action": "recall"})
    assert recalls == [sent(0, "recall", "c0"), sent(0, "recall", "c0")]
    verifies = observations_of_commands({**batch, "action": "verify"})
    assert [sighting.takes_back for sighting in verifies] == [None, None]
    answer = {"command_id": "c1", "status": "done", "at": at(5), "ground": "x"}
    [sighting] = observations_of_acknowledgements({"system": "crm", "acknowledgements": [answer]})
    assert sighting == answered(5)


STATUSES = ("done", "nothing_held", "refused", "failed", "partial", "recalled")
SIGHTINGS = st.lists(
    st.one_of(
        st.builds(sent, st.integers(0, 9)),
        st.builds(answered, st.integers(0, 9), st.sampled_from(STATUSES)),
    ),
    min_size=1,
    max_size=8,
)


@given(SIGHTINGS, st.randoms())
def test_order_and_repetition_of_sightings_change_nothing(
    sightings: list[CommandObservation], random: object
) -> None:
    """The same set of sightings gives the same state, and each is counted at most once."""
    shuffled = [*sightings, *sightings]
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a Random
    assert after(*shuffled) == after(*sightings)


@given(SIGHTINGS)
def test_a_command_and_its_answer_count_once(sightings: list[CommandObservation]) -> None:
    """However often all sightings of it are read."""
    counted: Counter[str] = Counter()
    state: WatchedCommand | None = None
    for sighting in (*sightings, *sightings):
        observed = observe(state, sighting)
        state = observed.watched
        counted.update(observed.counted)
    settling = {"done", "nothing_held", "refused", "recalled"}
    assert counted["sent"] == any(counted_sighting.what == "sent" for counted_sighting in sightings)
    assert counted["answered"] == any(
        counted_sighting.status in settling for counted_sighting in sightings
    )


@given(SIGHTINGS, st.integers(0, 5))
def test_a_stored_state_is_read_unchanged(
    sightings: list[CommandObservation], partition: int
) -> None:
    """It is exact to the microsecond, and has its offset."""
    state = after(*sightings)
    value = to_row(state, partition)
    assert from_row(value) == state
    assert parse_place(value) == partition
