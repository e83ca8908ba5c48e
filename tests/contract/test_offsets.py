"""Positions: each offset counts once, a changed log is detected, and a gap waits for a named operator."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from services.ledger import tables
from services.storage import gaps as storage_gaps
from services.storage import offsets
from services.storage.database import Database
from services.storage.gaps import (
    GapNotFound,
    OffsetGap,
    accept_gap,
    open_gap,
    open_gaps,
)
from services.storage.offsets import Fenced, OffsetAdvance, PartitionId, TopicReplaced
from services.storage.operator_log import OperatorRequired
from tests.contract.ledgers import select_rows

NOW = datetime(2026, 3, 15, 13, tzinfo=UTC)
LATER = datetime(2026, 3, 15, 14, tzinfo=UTC)
ROLE = "recorder"
LOG = PartitionId(cluster_id="c1", topic="retention.tagged.v1", topic_id="t1", partition=0)
BESIDE = PartitionId(cluster_id="c1", topic="retention.tagged.v1", topic_id="t1", partition=1)
RECREATED = PartitionId(cluster_id="c1", topic="retention.tagged.v1", topic_id="t2", partition=0)
ELSEWHERE = PartitionId(cluster_id="c2", topic="retention.tagged.v1", topic_id="t3", partition=0)
PLACE = (ROLE, "retention.tagged.v1", 0)


def advance(ledger: Database, *advances: OffsetAdvance, role: str = ROLE) -> None:
    with ledger.transaction() as connection:
        offsets.advance_offsets(connection, role, advances)


def advance_of(log: PartitionId, expected: int | None, to: int) -> OffsetAdvance:
    return OffsetAdvance(log=log, expected=expected, next=to)


def position(ledger: Database, log: PartitionId, role: str = ROLE) -> int | None:
    with ledger.transaction() as connection:
        return offsets.read_offset(connection, role, log)


def record_gap(
    ledger: Database, log: PartitionId, expected: int | None, low: int, high: int
) -> None:
    gap = OffsetGap(role=ROLE, log=log, expected=expected, low=low, high=high)
    with ledger.transaction() as connection:
        storage_gaps.record_gap(connection, gap, NOW)


def gaps(ledger: Database) -> Sequence[OffsetGap]:
    with ledger.transaction() as connection:
        return open_gaps(connection)


def accept(
    ledger: Database, operator: str = "Anna", reason: str = "retention was too short"
) -> int:
    with ledger.transaction() as connection:
        return accept_gap(connection, PLACE, operator=operator, reason=reason, now=LATER)


def test_a_log_that_was_never_read_has_no_position(ledger: Database) -> None:
    """This is not the same as position 0."""
    assert position(ledger, LOG) is None


def test_a_position_is_where_the_last_batch_ended(ledger: Database) -> None:
    """The first batch creates the position, and the next one advances it."""
    advance(ledger, advance_of(LOG, None, 5))
    advance(ledger, advance_of(LOG, 5, 9))
    assert position(ledger, LOG) == 9


def test_roles_and_partitions_have_positions_of_their_own(ledger: Database) -> None:
    """One role's reading does not count for another role."""
    advance(ledger, advance_of(LOG, None, 5), advance_of(BESIDE, None, 7))
    advance(ledger, advance_of(LOG, None, 2), role="tagger")
    assert (position(ledger, LOG), position(ledger, BESIDE)) == (5, 7)
    assert position(ledger, LOG, "tagger") == 2


@pytest.mark.parametrize("expected", [4, 6, 0, None])
def test_a_process_that_expects_another_offset_is_fenced(
    ledger: Database, expected: int | None
) -> None:
    """This includes a process that expects a log that was never read."""
    advance(ledger, advance_of(LOG, None, 5))
    with pytest.raises(Fenced):
        advance(ledger, advance_of(LOG, expected, 9))
    assert position(ledger, LOG) == 5


def test_a_process_that_expects_an_offset_of_another_log_is_fenced(ledger: Database) -> None:
    """The position was read on another log."""
    advance(ledger, advance_of(LOG, None, 5))
    with pytest.raises(Fenced):
        advance(ledger, advance_of(RECREATED, 5, 9))


def test_one_fenced_partition_rolls_the_whole_batch_back(ledger: Database) -> None:
    """A batch counts as a whole, or not at all."""
    advance(ledger, advance_of(LOG, None, 5), advance_of(BESIDE, None, 7))
    with pytest.raises(Fenced):
        advance(ledger, advance_of(LOG, 5, 6), advance_of(BESIDE, 6, 8))
    assert (position(ledger, LOG), position(ledger, BESIDE)) == (5, 7)


@pytest.mark.parametrize(
    "log", [RECREATED, ELSEWHERE], ids=["a topic made anew", "another cluster"]
)
def test_another_log_of_the_same_name_is_refused(ledger: Database, log: PartitionId) -> None:
    """Its offsets name other messages."""
    advance(ledger, advance_of(LOG, None, 5))
    with pytest.raises(TopicReplaced):
        position(ledger, log)


def test_going_back_to_the_log_that_was_read_is_no_change(ledger: Database) -> None:
    """The role was pointed at the wrong cluster for a while."""
    advance(ledger, advance_of(LOG, None, 5))
    with pytest.raises(TopicReplaced):
        position(ledger, ELSEWHERE)
    assert position(ledger, LOG) == 5


def test_each_start_of_an_embedded_broker_begins_a_new_log(ledger: Database) -> None:
    """Its log is in memory, so that another log follows is expected."""
    first = PartitionId(cluster_id="embedded-1", topic="t.v1", topic_id="a", partition=0)
    second = PartitionId(cluster_id="embedded-2", topic="t.v1", topic_id="b", partition=0)
    advance(ledger, advance_of(first, None, 5))
    assert position(ledger, second) is None


def test_an_embedded_broker_does_not_follow_a_real_one(ledger: Database) -> None:
    """A production ledger may be started on embedded defaults by mistake."""
    embedded = PartitionId(cluster_id="embedded-1", topic=LOG.topic, topic_id="a", partition=0)
    advance(ledger, advance_of(LOG, None, 5))
    with pytest.raises(TopicReplaced):
        position(ledger, embedded)


def test_a_gap_waits_with_what_was_expected_and_what_is_left(ledger: Database) -> None:
    """An operator needs both to find out what is missing."""
    record_gap(ledger, LOG, 5, 18, 40)
    assert gaps(ledger) == [OffsetGap(role=ROLE, log=LOG, expected=5, low=18, high=40)]


def test_a_gap_that_is_found_again_keeps_what_was_expected(ledger: Database) -> None:
    """The log may lose more while the gap waits, but the role's position does not change."""
    record_gap(ledger, LOG, 5, 18, 40)
    record_gap(ledger, LOG, 40, 30, 60)
    assert gaps(ledger) == [OffsetGap(role=ROLE, log=LOG, expected=5, low=30, high=60)]


@pytest.mark.parametrize(("log", "waits"), [(LOG, True), (BESIDE, False), (RECREATED, False)])
def test_a_gap_waits_for_its_own_log_alone(ledger: Database, log: PartitionId, waits: bool) -> None:
    """Other partitions, and the topic made again, have a state of their own."""
    record_gap(ledger, LOG, 5, 18, 40)
    with ledger.transaction() as connection:
        assert (open_gap(connection, ROLE, log) is not None) is waits
        assert open_gap(connection, "tagger", log) is None


@pytest.mark.parametrize(
    ("expected", "low", "high"),
    [
        pytest.param(5, 18, 40, id="below the log"),
        pytest.param(100, 0, 50, id="beyond its end"),
        pytest.param(None, 18, 40, id="never read"),
    ],
)
def test_an_accepted_gap_goes_on_at_the_first_offset_that_is_left(
    ledger: Database, expected: int | None, low: int, high: int
) -> None:
    """No remaining message is skipped, and a message read twice counts once."""
    if expected is not None:
        advance(ledger, advance_of(LOG, None, expected))
    record_gap(ledger, LOG, expected, low, high)
    assert accept(ledger) == low
    assert position(ledger, LOG) == low
    assert gaps(ledger) == []


def test_an_accepted_change_makes_the_new_log_the_one_that_is_read(ledger: Database) -> None:
    """The old log is refused from then on."""
    advance(ledger, advance_of(LOG, None, 5))
    record_gap(ledger, RECREATED, None, 0, 3)
    accept(ledger)
    assert position(ledger, RECREATED) == 0
    with pytest.raises(TopicReplaced):
        position(ledger, LOG)


def test_of_several_gaps_of_one_place_the_one_found_last_counts(ledger: Database) -> None:
    """A topic lost records, and was then made again with an id that sorts before."""
    record_gap(ledger, RECREATED, 5, 18, 40)
    gap = OffsetGap(role=ROLE, log=LOG, expected=None, low=0, high=3)
    with ledger.transaction() as connection:
        storage_gaps.record_gap(connection, gap, LATER)
    assert accept(ledger) == 0
    assert gaps(ledger) == []


def test_other_gaps_go_on_waiting(ledger: Database) -> None:
    """Each gap is accepted alone."""
    record_gap(ledger, LOG, 5, 18, 40)
    record_gap(ledger, BESIDE, 5, 18, 40)
    accept(ledger)
    assert [gap.log for gap in gaps(ledger)] == [BESIDE]


def test_accepting_a_gap_is_recorded(ledger: Database) -> None:
    """The record has the operator, the time, the reason and the loss."""
    record_gap(ledger, LOG, 5, 18, 40)
    accept(ledger)
    (row,) = select_rows(ledger, tables.operator_action)
    assert (row.at, row.operator, row.action, row.target, row.reason) == (
        LATER,
        "Anna",
        "gaps accept",
        "recorder retention.tagged.v1[0] 5->18",
        "retention was too short",
    )


@pytest.mark.parametrize(("operator", "reason"), [("", "why"), ("  ", "why"), ("Anna", " ")])
def test_a_gap_is_not_accepted_without_an_operator(
    ledger: Database, operator: str, reason: str
) -> None:
    """The role stays stopped."""
    advance(ledger, advance_of(LOG, None, 5))
    record_gap(ledger, LOG, 5, 18, 40)
    with pytest.raises(OperatorRequired):
        accept(ledger, operator, reason)
    assert position(ledger, LOG) == 5
    assert len(gaps(ledger)) == 1


def test_where_no_gap_waits_nothing_is_accepted(ledger: Database) -> None:
    """A mistyped command moves no position."""
    advance(ledger, advance_of(LOG, None, 5))
    with pytest.raises(GapNotFound):
        accept(ledger)
    assert position(ledger, LOG) == 5
