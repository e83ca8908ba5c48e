"""Partitions of which messages wait, and the watch processes none."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from faust.types import TP

from consumers.watch_rereading import StalledPartitions, acknowledged

ONE, TWO = TP("acks", 0), TP("acks", 1)


def test_a_partition_that_commits_nothing_is_stalled() -> None:
    """8 is the first that is not processed, at two looks; the other partition has nothing that waits."""
    stalled = StalledPartitions()
    assert stalled.find({ONE: 10, TWO: 21}, {ONE: 8, TWO: 21}) == set()
    assert stalled.find({ONE: 18, TWO: 21}, {ONE: 8, TWO: 21}) == {ONE}
    assert stalled.find({ONE: 18, TWO: 21}, {ONE: 18, TWO: 21}) == set()


def test_the_last_message_of_a_partition_may_be_the_one_that_was_passed_by() -> None:
    """Nothing has come after it."""
    stalled = StalledPartitions()
    assert stalled.find({ONE: 9}, {ONE: 8}) == set()
    assert stalled.find({ONE: 9}, {ONE: 8}) == {ONE}


def test_a_partition_that_has_never_committed_may_be_stalled() -> None:
    """What it reads at first has until the next look."""
    stalled = StalledPartitions()
    assert stalled.find({ONE: 1}, {}) == set()
    assert stalled.find({ONE: 1}, {}) == {ONE}


def test_a_partition_that_is_behind_is_not_stalled_while_it_commits() -> None:
    """It only has a backlog."""
    stalled = StalledPartitions()
    assert stalled.find({ONE: 4_000}, {ONE: 100}) == set()
    assert stalled.find({ONE: 8_000}, {ONE: 101}) == set()
    assert stalled.find({ONE: 8_000}, {ONE: 8_000}) == set()


def test_a_message_that_has_just_come_is_not_missed() -> None:
    """At the look before nothing waited."""
    stalled = StalledPartitions()
    assert stalled.find({ONE: 8}, {ONE: 8}) == set()
    assert stalled.find({ONE: 9}, {ONE: 8}) == set()
    assert stalled.find({ONE: 9}, {ONE: 9}) == set()


class Event:
    acked = False

    def ack(self) -> None:
        self.acked = True


@pytest.mark.parametrize(
    ("error", "acked"), [(None, True), (ValueError, True), (asyncio.CancelledError, False)]
)
def test_an_event_in_which_its_agent_is_cancelled_comes_again(
    error: type[BaseException] | None, acked: bool
) -> None:
    """One that cannot be processed does not."""
    event = Event()
    with suppress(ValueError, asyncio.CancelledError), acknowledged(event):  # type: ignore[arg-type]
        if error:
            raise error
    assert event.acked == acked
