"""A notice is given again if the end that it announced comes back after another one was announced.

Each on SQLite and on PostgreSQL. A year after a permit's date, 1 or 10 February 2022, its file is erased;
`mail` gives notice 30 days before the application is commanded, a day before that.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from services.deleter.command_recovery import recover_commands
from services.deleter.sent_messages import SentMessage
from services.ledger import tables
from services.storage.database import Database
from tests.contract.event_builders import Event
from tests.contract.language_lines import policy_of
from tests.contract.ledgers import (
    FakeBus,
    acknowledge,
    back_up,
    claim_all,
    instant,
    record_events,
    restore,
    select_rows,
    send_due,
)
from tests.oracle.examples.forms import act
from tests.oracle.examples.language.forms import happened
from tests.oracle.examples.language.notices import AFTER_PERMIT

POLICY = policy_of(replace(AFTER_PERMIT, rights=True))
NOTICE, MOVED, BACK, LATER = (
    *("2022-12-31T23:00:00Z", "2023-01-10T10:00:00Z"),
    *("2023-01-15T10:00:00Z", "2023-01-16T10:00:00Z"),
)
FIRST_END, OTHER_END = "2023-01-30T23:00:00Z", "2023-02-08T23:00:00Z"
TO_OTHER = happened("s2", "permit.set", "2023-01-10T10", valid_until="2022-02-10")
TO_FIRST = happened("s3", "permit.set", "2023-01-15T10", valid_until="2022-02-01")


class Office:
    """A ledger with two files of a person, one permit for both, and a deleter's bus."""

    def __init__(self, ledger: Database) -> None:
        self.ledger, self.bus = ledger, FakeBus()
        self.take(
            "2022-01-06T10:00:00Z",
            happened("e1", "file.opened", "2022-01-05T10"),
            happened("e2", "file.opened", "2022-01-05T10"),
            happened("s1", "permit.set", "2022-01-06T10", valid_until="2022-02-01"),
        )

    def take(self, now: str, *events: Event) -> None:
        record_events(self.ledger, events, now, policy=POLICY)

    def run(self, now: str) -> list[tuple[str, str, list[str]]]:
        """Claim and send; return action, end and records of what is sent."""
        before = len(self.bus.sent)
        claim_all(self.ledger, now, policy=POLICY)
        send_due(self.ledger, self.bus, now, policy=POLICY)
        values = [message.value for message in self.bus.sent[before:]]
        return [
            (
                value["action"],
                value["erase_by"].isoformat().replace("+00:00", "Z"),
                sorted(record["id"] for record in value["records"]),
            )
            for value in values
        ]

    def answer(self, now: str, status: str = "done", action: str = "notify") -> None:
        """Acknowledge the command that was sent last with this action."""
        sent = [message.value for message in self.bus.sent if message.value["action"] == action]
        acknowledge(self.ledger, UUID(sent[-1]["command_id"]), status, now, policy=POLICY)  # type: ignore[arg-type]  # a Status


@pytest.fixture
def office(ledger: Database) -> Office:
    """Return an office that has given notice of the first end."""
    office = Office(ledger)
    assert office.run(NOTICE) == [("notify", FIRST_END, ["e1", "e2"])]
    office.answer(NOTICE)
    return office


def test_an_end_that_comes_back_is_announced_again_once(office: Office) -> None:
    """The third notice is the last word, until another end is announced."""
    office.take(MOVED, TO_OTHER)
    assert office.run(MOVED) == [("notify", OTHER_END, ["e1", "e2"])]
    office.answer(MOVED)
    office.take(BACK, TO_FIRST)
    assert office.run(BACK) == [("notify", FIRST_END, ["e1", "e2"])]
    office.answer(BACK)
    assert office.run(LATER) == []


def test_an_end_that_comes_back_before_another_was_announced_is_not(office: Office) -> None:
    """The notice of the other end is recalled, so the first is still the last word."""
    office.take(MOVED, TO_OTHER)
    office.run(MOVED)
    office.take(BACK, TO_FIRST)
    assert [action for action, *_ in office.run(BACK)] == ["recall"]
    office.answer(BACK, "recalled", "recall")
    assert office.run(LATER) == []


def test_a_notice_that_could_not_be_recalled_counts_as_given(office: Office) -> None:
    """The person knows of the other end after all, so the first is announced again."""
    office.take(MOVED, TO_OTHER)
    office.run(MOVED)
    office.take(BACK, TO_FIRST)
    office.run(BACK)
    office.answer(BACK, "already_done", "recall")
    assert office.run(LATER) == [("notify", FIRST_END, ["e1", "e2"])]


def test_only_the_record_of_which_another_end_was_announced_is_announced_again(
    office: Office,
) -> None:
    """A legal hold over the other file kept that notice back."""
    hold = {"hold_id": "h1", "ground": "legal_claim", "records": ["e2"]}
    office.take(MOVED, TO_OTHER, act("h1", "hold-placed", "2023-01-10T10", "person:1", **hold))
    assert office.run(MOVED) == [("notify", OTHER_END, ["e1"])]
    office.answer(MOVED)
    office.take(
        BACK,
        TO_FIRST,
        act("h2", "hold-released", "2023-01-15T10", "person:1", hold_id="h1"),
    )
    assert office.run(BACK) == [("notify", FIRST_END, ["e1"])]


def test_a_notice_that_was_given_again_and_lost_is_not_given_a_third_time(office: Office) -> None:
    """The ledger was restored from a backup of before it."""
    office.take(MOVED, TO_OTHER)
    office.run(MOVED)
    office.answer(MOVED)
    office.take(BACK, TO_FIRST)
    backup = back_up(office.ledger)
    office.run(BACK)
    restore(office.ledger, backup)
    place, commands = office.bus.places[-1]
    found = [SentMessage(place=place, commands=commands)]
    office.ledger.run_in_transaction(lambda c: recover_commands(c, found, POLICY, instant(LATER)))
    office.run(LATER)
    office.answer(LATER)
    rows = select_rows(office.ledger, tables.command, action="notify")
    assert len(rows) == 3
