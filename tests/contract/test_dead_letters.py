"""Dead letters: parked once, never lost, and settled by a named operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.ledger import tables
from services.storage import dead_letters
from services.storage.database import Database
from services.storage.dead_letters import DeadLetter, DeadLetterNotFound
from services.storage.operator_log import OperatorRequired
from tests.contract.ledgers import select_rows

NOW = datetime(2026, 3, 15, 13, tzinfo=UTC)
LETTER = DeadLetter(
    role="tagger",
    reason="undecodable",
    detail="ends too early",
    topic="orders.order-placed.v1",
    partition=3,
    offset=17,
    timestamp=datetime(2026, 3, 15, 12, 59, 59, 123000, tzinfo=UTC),
    at=NOW,
    key_id="0011223344556677",
    sealed=b"\x00\xffsealed",
)
MALFORMED = replace(LETTER, reason="malformed", offset=18, at=NOW - timedelta(hours=1))


def park(ledger: Database, *letters: DeadLetter) -> None:
    with ledger.transaction() as connection:
        dead_letters.store(connection, letters)


def list_parked_letters(
    ledger: Database, *ids: UUID, reason: str | None = None
) -> Sequence[DeadLetter]:
    with ledger.transaction() as connection:
        return dead_letters.list_parked(connection, ids, reason=reason)


def settle(
    ledger: Database,
    letter: DeadLetter,
    state: str = "discarded",
    *,
    operator: str = "Anna",
    reason: str = "the publisher was mended",
) -> None:
    with ledger.transaction() as connection:
        dead_letters.close(connection, letter, state, operator=operator, reason=reason, now=NOW)


def test_a_dead_letter_is_read_back_unchanged(ledger: Database) -> None:
    """Reason, place, instants and the encrypted bytes are unchanged."""
    park(ledger, LETTER)
    assert list_parked_letters(ledger) == [LETTER]


def test_parking_twice_is_harmless(ledger: Database) -> None:
    """The tagger may send it twice, in one batch or in two, at another time and encrypted again."""
    again = replace(LETTER, at=NOW + timedelta(hours=1), sealed=b"with another nonce")
    park(ledger, LETTER, again)
    park(ledger, again)
    assert list_parked_letters(ledger) == [LETTER]


@pytest.mark.parametrize(
    "other",
    [
        replace(LETTER, offset=18),
        replace(LETTER, partition=4),
        replace(LETTER, topic="orders.order-placed.v2"),
        replace(LETTER, role="recorder"),
        replace(LETTER, timestamp=LETTER.timestamp + timedelta(milliseconds=1)),
    ],
    ids=["offset", "partition", "topic", "role", "timestamp"],
)
def test_another_message_is_another_dead_letter(ledger: Database, other: DeadLetter) -> None:
    """This includes a message at the same offset after its topic was made again."""
    park(ledger, LETTER, other)
    assert len(list_parked_letters(ledger)) == 2


def test_parking_no_messages_changes_nothing(ledger: Database) -> None:
    """Most batches have no dead letter."""
    park(ledger)
    assert list_parked_letters(ledger) == []


def test_the_oldest_dead_letter_is_listed_first(ledger: Database) -> None:
    """Its data is the nearest to the end of its term."""
    park(ledger, LETTER, MALFORMED)
    assert list_parked_letters(ledger) == [MALFORMED, LETTER]


def test_dead_letters_are_found_by_reason(ledger: Database) -> None:
    """One fault of one publisher makes many dead letters with the same reason."""
    park(ledger, LETTER, MALFORMED)
    assert list_parked_letters(ledger, reason="malformed") == [MALFORMED]


def test_dead_letters_are_found_by_id(ledger: Database) -> None:
    """Only those with the given ids are found."""
    park(ledger, LETTER, MALFORMED)
    assert list_parked_letters(ledger, LETTER.dead_letter_id) == [LETTER]


def test_an_id_that_is_not_parked_is_named(ledger: Database) -> None:
    """Nothing is done to the others meanwhile."""
    park(ledger, LETTER)
    with pytest.raises(DeadLetterNotFound) as refused:
        list_parked_letters(ledger, LETTER.dead_letter_id, MALFORMED.dead_letter_id)
    assert refused.value.dead_letter_id == MALFORMED.dead_letter_id


@pytest.mark.parametrize("state", ["replayed", "discarded"])
def test_the_content_of_a_settled_dead_letter_is_deleted(ledger: Database, state: str) -> None:
    """The row stays as a fact, but its content is personal data and is deleted."""
    park(ledger, LETTER)
    settle(ledger, LETTER, state)
    assert list_parked_letters(ledger) == []
    (row,) = select_rows(ledger, tables.dead_letter)
    assert (row.state, bytes(row.sealed)) == (state, b"")


def test_a_settled_dead_letter_that_is_parked_again_stays_settled(ledger: Database) -> None:
    """The tagger may read it again, after an accepted gap, but an operator has settled it."""
    park(ledger, LETTER)
    settle(ledger, LETTER)
    park(ledger, LETTER)
    assert list_parked_letters(ledger) == []


def test_settling_a_dead_letter_is_recorded(ledger: Database) -> None:
    """The record has the operator, the time, the reason and the message."""
    park(ledger, LETTER)
    settle(ledger, LETTER)
    (row,) = select_rows(ledger, tables.operator_action)
    assert (row.at, row.operator, row.action, row.target, row.reason) == (
        NOW,
        "Anna",
        "dead-letters discarded",
        f"{LETTER.dead_letter_id} orders.order-placed.v1[3]@17",
        "the publisher was mended",
    )


def test_a_dead_letter_is_not_settled_twice(ledger: Database) -> None:
    """Of two operators at once, the second learns that it is done."""
    park(ledger, LETTER)
    settle(ledger, LETTER, "replayed")
    with pytest.raises(DeadLetterNotFound):
        settle(ledger, LETTER, "discarded")
    assert len(select_rows(ledger, tables.operator_action)) == 1


@pytest.mark.parametrize(("operator", "reason"), [("", "why"), ("Anna", "")])
def test_a_dead_letter_is_not_settled_without_an_operator(
    ledger: Database, operator: str, reason: str
) -> None:
    """It stays parked, with its content."""
    park(ledger, LETTER)
    with pytest.raises(OperatorRequired):
        settle(ledger, LETTER, operator=operator, reason=reason)
    assert list_parked_letters(ledger) == [LETTER]
