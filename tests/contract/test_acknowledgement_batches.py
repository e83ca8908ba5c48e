"""A batch of acknowledgements has the same result as the same acknowledgements one by one, in order.

Each on SQLite and on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from services.deleter.acknowledgement import (
    Acknowledgement,
    AcknowledgementMessage,
    ReusedAcknowledgement,
    Status,
    UnknownCommand,
)
from services.deleter.settlement import (
    AcknowledgementResult,
    apply_acknowledgement,
    apply_acknowledgements,
)
from services.ledger import tables
from services.ledger.command_state import IllegalTransition
from services.storage.database import Database
from tests.batches import message_of
from tests.contract.event_builders import feedback, invoice, order, reinstated, terminated
from tests.contract.ledgers import (
    POLICY,
    Aborted,
    FakeBus,
    claim_all,
    empty_database,
    instant,
    record_events,
    select_rows,
    send_due,
)
from tests.effort import SLOW, examples

JOINED, ENDED, BACK = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z", "2021-01-01T12:00:00Z"
DUE, FAR = "2022-05-31T12:00:00Z", "2060-01-01T00:00:00Z"
STATUSES: tuple[Status, ...] = (
    "done",
    "nothing_held",
    "partial",
    "refused",
    "failed",
    "recalled",
    "already_done",
)
Result = AcknowledgementResult | UnknownCommand | ReusedAcknowledgement | IllegalTransition


def varied_commands(ledger: Database) -> list[Any]:
    """Make commands that are sent, being recalled, recalls, and one that is not sent yet."""
    bus = FakeBus()
    record_events(
        ledger, [invoice("i1", JOINED), terminated("t1", ENDED), order("o1", JOINED)], DUE
    )
    claim_all(ledger, DUE)
    send_due(ledger, bus, DUE)
    record_events(ledger, [reinstated("r1", BACK)], DUE)
    send_due(ledger, bus, DUE)
    record_events(ledger, [feedback("f1", JOINED)], DUE)
    claim_all(ledger, DUE)
    commands = select_rows(ledger, tables.command)
    assert {row.state for row in commands} == {"unsent", "sent", "recalling"}
    assert {row.action for row in commands} >= {"erase", "recall"}
    return commands


def acknowledgement(command: Any, status: Status, name: str) -> AcknowledgementMessage:
    answer = Acknowledgement(
        command_id=command.command_id,
        system=command.system,
        attempt=1,
        status=status,
        counts={},
        ground=None,
        at=instant(DUE),
    )
    return message_of(answer, name)


def apply_one_by_one(connection: Connection, answers: list[AcknowledgementMessage]) -> list[Result]:
    acknowledgements: list[Result] = []
    for answer in answers:
        try:
            acknowledgements.append(apply_acknowledgement(connection, answer, POLICY, instant(FAR)))
        except (UnknownCommand, ReusedAcknowledgement, IllegalTransition) as cause:
            acknowledgements.append(cause)
    return acknowledgements


def apply_at_once(connection: Connection, answers: list[AcknowledgementMessage]) -> list[Result]:
    results = apply_acknowledgements(connection, answers, POLICY, instant(FAR))
    return [result for [result] in results]


def outcome_of(
    ledger: Database,
    way: Callable[[Connection, list[AcknowledgementMessage]], list[Result]],
    answers: list[AcknowledgementMessage],
) -> tuple[list[str], list[Any]]:
    """Return the result of a way to apply acknowledgements and the ledger after it, rolled back."""
    written = (tables.command, tables.member, tables.acknowledgement, tables.record)
    try:
        with ledger.transaction() as connection:
            results = [repr(acknowledgement) for acknowledgement in way(connection, answers)]
            contents = [
                [tuple(row) for row in connection.execute(select(t).order_by(*t.primary_key))]
                for t in written
            ]
            raise Aborted
    except Aborted:
        return results, contents


@settings(max_examples=examples(40), deadline=None, suppress_health_check=SLOW)
@given(data=st.data())
def test_a_batch_has_the_same_result_as_its_acknowledgements_one_by_one(
    shared_ledger: Database, data: st.DataObject
) -> None:
    """The batch has several to one command, repetitions, and some to recalls and to what they recall."""
    commands = varied_commands(empty_database(shared_ledger))
    drawn = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(commands), st.sampled_from(STATUSES), st.sampled_from("abcdef")
            ),
            max_size=10,
        )
    )
    answers = [acknowledgement(*answer) for answer in drawn]
    expected = outcome_of(shared_ledger, apply_one_by_one, answers)
    assert outcome_of(shared_ledger, apply_at_once, answers) == expected


def test_a_wrong_acknowledgement_does_not_stop_the_others(ledger: Database) -> None:
    """A wrong acknowledgement is reported in its place, and the others count.

    The wrong ones are to an unknown command, of another system, and to a command that was never sent.
    """
    commands = varied_commands(ledger)
    sent_command = next(row for row in commands if row.state == "sent" and row.action == "erase")
    unsent = next(row for row in commands if row.state == "unsent")
    unknown = Acknowledgement(
        command_id=UUID(int=1),
        system="crm",
        attempt=1,
        status="done",
        counts={},
        ground=None,
        at=instant(DUE),
    )
    answers = [
        acknowledgement(unsent, "done", "a"),
        message_of(unknown, "b"),
        acknowledgement(sent_command, "done", "c"),
    ]
    answers += [
        acknowledgement(sent_command, "done", "c"),
        acknowledgement(sent_command, "failed", "d"),
    ]
    answers += [acknowledgement(sent_command, "failed", "c")]
    first, second, *rest, last = ledger.run_in_transaction(lambda c: apply_at_once(c, answers))
    assert isinstance(first, IllegalTransition)
    assert isinstance(second, UnknownCommand)
    assert isinstance(last, ReusedAcknowledgement)
    assert rest == [
        AcknowledgementResult(
            state="acknowledged",
            is_unexpected=False,
            repeated=False,
            duration=instant(FAR) - instant(DUE),
        ),
        AcknowledgementResult(state="acknowledged", is_unexpected=False, repeated=True),
        AcknowledgementResult(state="acknowledged", is_unexpected=False, repeated=False),
    ]
    rows = select_rows(ledger, tables.acknowledgement)
    assert [row.acknowledgement_id for row in rows] == ["c", "d"]
    (after,) = select_rows(ledger, tables.command, command_id=sent_command.command_id)
    assert (after.state, after.outcome) == ("acknowledged", "done")
    (after,) = select_rows(ledger, tables.command, command_id=unsent.command_id)
    assert (after.state, after.outcome) == ("unsent", None)


def test_a_recall_that_comes_too_late_dates_the_erasure(ledger: Database) -> None:
    """The certificate states when the acknowledgement came in, whichever command it was about."""
    recall = next(row for row in varied_commands(ledger) if row.action == "recall")
    with ledger.transaction() as connection:
        apply_at_once(connection, [acknowledgement(recall, "already_done", "m1")])
    [erasure] = select_rows(ledger, tables.command, command_id=recall.supersedes)
    assert (erasure.state, erasure.acknowledged_at) == ("acknowledged", instant(FAR))
