"""The evidence has one entry for each step of a message, whatever happens between two steps.

Each on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.crypto.keyring import Keyring, new_key
from services.crypto.pseudonyms import Pseudonymizer
from services.deleter.acknowledgement import Acknowledgement, AcknowledgementMessage, Status
from services.deleter.dispatch import RetryPolicy, dispatch, lease
from services.deleter.paused_systems import PausedSystems
from services.deleter.settlement import apply_acknowledgements
from services.evidence import seal_entries
from services.evidence.seal_entries import append_entries, rekey
from services.evidence.sealed_messages import item_leaf
from services.ledger import tables
from services.storage.database import Database
from tests.contract.event_builders import feedback
from tests.contract.ledger_life import PSEUDONYMIZER, LedgerLife
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    instant,
    later,
    record_events,
    roll_back,
    run_as_role,
    select_rows,
    send_due,
    visitors_of_a_lane,
)

RING = Keyring((new_key(),))
JOINED, FAR = "2020-01-01T12:00:00Z", "2060-01-01T00:00:00Z"
VISITORS = visitors_of_a_lane(3)


def send_message(ledger: Database, visitors: Sequence[str] = VISITORS) -> list[UUID]:
    """Send the erasures of visitors in one message; return the commands in their order in it."""
    events = [feedback(f"e{id_}", JOINED, visitor=id_) for id_ in visitors]
    record_events(ledger, events, JOINED)
    claim_all(ledger, FAR)
    send_due(ledger, FakeBus(), FAR)
    rows = sorted(select_rows(ledger, tables.command), key=lambda row: row.item)
    assert len({row.message_id for row in rows}) == 1
    return [row.command_id for row in rows]


def answer(
    ledger: Database, *answers: tuple[UUID, Status, Mapping[str, int]], attempt: int = 1
) -> None:
    """Apply one message of the website with these acknowledgements, each a second after the other."""
    acknowledgements = tuple(
        Acknowledgement(
            command_id=command,
            system="website",
            attempt=attempt,
            status=status,
            counts=counts,
            ground=None,
            at=later(FAR, seconds=number),
        )
        for number, (command, status, counts) in enumerate(answers)
    )
    message = AcknowledgementMessage(
        acknowledgement_id="m1", system="website", acknowledgements=acknowledgements
    )
    run_as_role(
        ledger,
        "acknowledgements",
        lambda connection: apply_acknowledgements(connection, [message], POLICY, instant(FAR)),
    )


def seal(ledger: Database, pseudonymizer: Pseudonymizer = PSEUDONYMIZER) -> list[dict[str, Any]]:
    """Append the queued entries as the deleter, and return those about messages, in order."""
    interval = timedelta(microseconds=1)
    run_as_role(
        ledger,
        "deleter",
        lambda connection: append_entries(
            connection, pseudonymizer, lambda: RING, instant(FAR), head_every=interval
        ),
    )
    entries = [json.loads(row.entry) for row in select_rows(ledger, tables.evidence)]
    return [entry for entry in entries if "root" in entry]


def steps(entries: Sequence[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """Return kind, states and attempt of the entries."""
    return [(entry["kind"], entry["states"], entry.get("attempt", 0)) for entry in entries]


def test_one_step_of_a_message_is_one_entry(ledger: Database) -> None:
    """All entries have the same root; times of answers are the first and the last."""
    commands = send_message(ledger)
    answer(ledger, *((command, "done", {"rows": 1}) for command in commands))
    sent, answered = seal(ledger)
    assert steps([sent, answered]) == [("sent", "3s", 1), ("answered", "3a", 1)]
    assert (sent["items"], sent["records"], sent["rules"]) == (3, 3, ["D5"])
    assert sent["root"] == answered["root"]
    assert answered["counts"] == {"rows": 1}
    times = ("2060-01-01T00:00:00Z", "2060-01-01T00:00:02Z")
    assert (answered["answered_from"], answered["answered_at"]) == times


def test_an_entry_names_the_range_of_what_differs(ledger: Database) -> None:
    """The persons' data is due at different times."""
    first, second, *_ = VISITORS
    events = [
        feedback("e1", JOINED, visitor=first),
        feedback("e2", "2020-03-01T12:00:00Z", visitor=second),
    ]
    record_events(ledger, events, JOINED)
    claim_all(ledger, FAR)
    due = sorted(row.due_at for row in select_rows(ledger, tables.command))
    send_due(ledger, FakeBus(), FAR)
    [sent] = seal(ledger)
    assert [instant(at) for at in sent["due_at"]] == due
    assert len(set(due)) == 2


def test_what_differs_is_an_entry_of_its_own(ledger: Database) -> None:
    """By status, state and counts; a command that is not concerned is a point."""
    first, second, third = send_message(ledger)
    answer(
        ledger,
        (first, "done", {"rows": 1}),
        (second, "failed", {}),
        (third, "done", {"rows": 7}),
    )
    assert steps(seal(ledger))[1:] == [
        ("answered", "a..", 1),
        ("answered", ".s.", 1),
        ("answered", "..a", 1),
    ]


def test_the_steps_of_each_command_stay_in_order(ledger: Database) -> None:
    """One that failed before it was done is not in the entry of those that were done at once."""
    first, second, _ = send_message(ledger)
    done: Mapping[str, int] = {"rows": 1}
    answer(
        ledger,
        (second, "done", done),
        (first, "failed", {}),
        (first, "done", done),
    )
    assert steps(seal(ledger))[1:] == [
        ("answered", ".a.", 1),
        ("answered", "s..", 1),
        ("answered", "a..", 1),
    ]


def test_an_answer_to_an_earlier_message_is_an_entry_of_the_last(ledger: Database) -> None:
    """The entry names the attempt that was answered."""
    [command] = send_message(ledger, VISITORS[:1])
    record_events(ledger, [feedback("e9", JOINED, visitor=VISITORS[1])], FAR)
    claim_all(ledger, later(FAR, minutes=2))
    send_due(ledger, FakeBus(), later(FAR, minutes=2))
    answer(ledger, (command, "done", {"rows": 1}), attempt=1)
    first, second, answered = seal(ledger)
    assert (first["items"], second["items"], second["attempt"]) == (1, 2, [1, 2])
    assert answered["root"] == second["root"] != first["root"]
    assert (answered["attempt"], sorted(answered["states"])) == (1, [".", "a"])


def test_leaves_are_made_of_command_subject_and_item(ledger: Database) -> None:
    """They are kept with the message."""
    commands = send_message(ledger)
    subjects = {row.command_id: row.subject for row in select_rows(ledger, tables.command)}
    seal(ledger)
    [message] = select_rows(ledger, tables.message)
    expected = [
        item_leaf(
            PSEUDONYMIZER.pseudonym("command", str(command)),
            PSEUDONYMIZER.pseudonym("subject", subjects[command]),
            item,
        )
        for item, command in enumerate(commands)
    ]
    assert message.leaves == b"".join(expected)


def test_one_transaction_makes_the_leaves_of_so_many_commands(
    ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else erasing would wait for the sealing of a large backlog; the next transaction goes on."""
    monkeypatch.setattr(seal_entries, "_MAX_LEAVES", 3)
    first = send_message(ledger)
    record_events(ledger, [feedback("e9", JOINED, visitor=VISITORS[0])], FAR)
    claim_all(ledger, FAR)
    send_due(ledger, FakeBus(), FAR)
    answer(ledger, *((command, "done", {"rows": 1}) for command in first))
    assert [entry["items"] for entry in seal(ledger)] == [3]
    assert steps(seal(ledger)) == [("sent", "3s", 1), ("sent", "s", 1), ("answered", "3a", 1)]


def test_a_crash_before_sealing_loses_nothing(ledger: Database) -> None:
    """Neither the step nor its leaves: the next process makes them."""
    send_message(ledger)
    roll_back(
        ledger,
        lambda connection: append_entries(connection, PSEUDONYMIZER, lambda: RING, instant(FAR)),
    )
    [message] = select_rows(ledger, tables.message)
    assert (message.leaves, message.root) == (None, None)
    assert steps(seal(ledger)) == [("sent", "3s", 1)]


def test_another_key_between_two_steps_changes_no_leaf(ledger: Database) -> None:
    """Both entries have one root, so that the second proves what the first was about."""
    commands = send_message(ledger)
    seal(ledger)
    ledger.run_in_transaction(rekey)
    answer(ledger, *((command, "done", {"rows": 1}) for command in commands))
    sent, answered = seal(ledger, Pseudonymizer(b"\1" * 32))
    assert sent["root"] == answered["root"]


def test_a_purge_between_two_steps_changes_no_leaf(ledger: Database) -> None:
    """The leaf of the purged command stays until the last command of its message goes."""
    life, at = LedgerLife(ledger=ledger), "2022-06-01T12:00:00Z"
    events = [feedback(f"e{id_}", JOINED, visitor=id_) for id_ in VISITORS]
    life.record_events(events, JOINED)
    claim_all(ledger, at)
    open_command = select_rows(ledger, tables.command)[0].command_id
    life.work(at, without={open_command})
    assert life.purge("2022-08-01T12:00:00Z")["commands"] == 4
    acknowledge(ledger, open_command, "done", "2022-08-02T12:00:00Z", counts={"rows": 1})
    erasures = [entry for entry in seal(ledger) if entry["action"] == "erase"]
    assert len({entry["root"] for entry in erasures}) == 1
    assert [entry["items"] for entry in erasures] == [3] * len(erasures)
    assert sorted(erasures[-1]["states"]) in ([".", "2", "a"], [".", ".", "a"])


def test_a_message_waits_for_its_entries_before_it_is_purged(ledger: Database) -> None:
    """A late acknowledgement of a purged command is still appended."""
    life, at, end = LedgerLife(ledger=ledger), "2022-06-01T12:00:00Z", "2022-08-01T12:00:00Z"
    life.record_events([feedback("e1", JOINED)], JOINED)
    life.work(at)
    [erasure] = select_rows(ledger, tables.command, action="erase")
    acknowledge(ledger, erasure.command_id, "done", end, counts={"rows": 1})
    life.purge(end)
    assert select_rows(ledger, tables.command) == []
    assert len(select_rows(ledger, tables.message, action="erase")) == 1
    life.seal_evidence(end)
    life.purge(end)
    assert select_rows(ledger, tables.message) == []


def test_an_answer_before_the_delivery_was_confirmed_is_proven_too(ledger: Database) -> None:
    """The deleter ended between sending and its commit; the answer makes the message known."""
    record_events(ledger, [feedback("e1", JOINED)], JOINED)
    [command] = claim_all(ledger, FAR)
    leased = ledger.run_in_transaction(
        lambda connection: lease(connection, instant(FAR), PausedSystems(), limit=9)
    )
    roll_back(
        ledger,
        lambda connection: dispatch(
            connection, leased, FakeBus(), POLICY, instant(FAR), RetryPolicy()
        ),
    )
    answer(ledger, (command, "done", {"rows": 1}))
    sent, answered = seal(ledger)
    assert steps([sent, answered]) == [("sent", "s", 1), ("answered", "a", 1)]
    assert (sent["confirmed"], sent["rules"]) == (False, ["D5"])
    [message] = select_rows(ledger, tables.message)
    assert (message.topic, message.offset) == (None, None)
    [row] = select_rows(ledger, tables.command)
    assert (row.message_id, row.item) == (message.message_id, 0)
