"""The deleter sees whether everything on the bus is recorded; whatever it cannot be sure of blinds it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from services.deleter.sight import BusSight
from services.ledger import positions
from services.ledger.database import Ledger
from services.ledger.positions import Advance, Gap, Log

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS, TAGGED = "events.v1", "tagged.v1"


class Bus:
    """A bus of two topics with one partition each."""

    def __init__(self, *, events: int, tagged: int = 0, events_id: str = "id") -> None:
        self._ends = {(EVENTS, 0): events, (TAGGED, 0): tagged}
        self._ids = {EVENTS: events_id, TAGGED: "id"}

    def ends(self, topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
        """The ends of the topics."""
        return {one: end for one, end in self._ends.items() if one[0] in topics}

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """The ids of the topics."""
        return {topic: self._ids[topic] for topic in topics}


def log(topic: str) -> Log:
    """The only partition of a topic."""
    return Log(cluster_id="cluster", topic=topic, topic_id="id", partition=0)


def has_read(ledger: Ledger, role: str, topic: str, next: int) -> None:
    """The role has read the topic up to an offset."""
    with ledger.transaction() as connection:
        positions.advance(connection, role, [Advance(log=log(topic), expected=None, next=next)])


def spots(ledger: Ledger, bus: Bus) -> Sequence[str]:
    """What the deleter does not see."""
    return BusSight(
        ledger=ledger,
        bus=bus,
        cluster_id="cluster",
        business=[EVENTS],
        tagged=[TAGGED],
        sleep=lambda _: None,
        patience=timedelta(milliseconds=60),
    ).blind_spots()


def test_an_empty_bus_hides_nothing(ledger: Ledger) -> None:
    """Nothing was published, nothing was read."""
    assert spots(ledger, Bus(events=0)) == []


@pytest.mark.parametrize(("read", "seen"), [(11, ["tagger: events.v1[0]"]), (12, [])])
def test_what_the_tagger_has_not_read_is_a_blind_spot(
    ledger: Ledger, read: int, seen: list[str]
) -> None:
    """The last event may be a hold."""
    has_read(ledger, "tagger", EVENTS, read)
    assert spots(ledger, Bus(events=12)) == seen


def test_what_the_recorder_has_not_read_is_one_too(ledger: Ledger) -> None:
    """It is tagged, and not yet in the ledger."""
    has_read(ledger, "tagger", EVENTS, 12)
    has_read(ledger, "recorder", TAGGED, 6)
    assert spots(ledger, Bus(events=12, tagged=7)) == ["recorder: tagged.v1[0]"]


def test_a_log_that_was_cut_short_is_not_read(ledger: Ledger) -> None:
    """What stands below the old position now may be something else."""
    has_read(ledger, "tagger", EVENTS, 12)
    assert spots(ledger, Bus(events=10)) == ["tagger: events.v1[0]"]


def test_a_topic_made_anew_is_not_read(ledger: Ledger) -> None:
    """The position of the topic that was deleted says nothing of the new one."""
    has_read(ledger, "tagger", EVENTS, 12)
    assert spots(ledger, Bus(events=5, events_id="anew")) == ["tagger: events.v1[0]"]


def test_a_gap_that_waits_blinds(ledger: Ledger) -> None:
    """What was lost unread may have been a hold; an operator has to say that it was not."""
    has_read(ledger, "tagger", EVENTS, 12)
    gap = Gap(role="tagger", log=log(EVENTS), expected=3, low=9, high=12)
    with ledger.transaction() as connection:
        positions.found_gap(connection, gap, NOW)
    assert spots(ledger, Bus(events=12)) == ["tagger: events.v1[0]"]
