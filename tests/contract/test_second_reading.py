"""A system that reads again after it erased reports so in its acknowledgement: no verification follows.

Each on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest

from services.deleter.acknowledgement import Checked, ReusedAcknowledgement
from services.deleter.verification import verify_commands
from services.ledger import tables
from services.policy.model import Policy
from services.storage.database import Database
from tests.contract.event_builders import Event, event, feedback, invoice, terminated
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    instant,
    record_events,
    select_rows,
    send_due,
)

JOINED = "2020-01-01T12:00:00Z"
FAR = "2060-01-01T00:00:00Z"
NEVER_SAMPLED = replace(POLICY, verify_one_in=10**12)
ALWAYS_SAMPLED = replace(POLICY, verify_one_in=1)
NOTHING = Checked(records=1, found={"feedback": 0})


def given_by(visitor: int) -> Event:
    """Return the feedback of one of many visitors."""
    values = {"feedback_id": f"F{visitor}", "visitor_id": f"V{visitor}"}
    return event(f"e{visitor}", "website.feedback-given", JOINED, **values)


def send_erasure(ledger: Database) -> UUID:
    """Send the erasure of one visitor's feedback."""
    record_events(ledger, [feedback("e1", JOINED)], JOINED)
    (command,) = claim_all(ledger, FAR)
    send_due(ledger, FakeBus(), FAR)
    return command


def state_of(ledger: Database, command: UUID) -> str:
    (row,) = select_rows(ledger, tables.command, command_id=command)
    return str(row.state)


def verifications(ledger: Database, policy: Policy = NEVER_SAMPLED, now: str = FAR) -> int:
    """Write the verifications that are due, and count them."""
    return len(
        ledger.run_in_transaction(
            lambda connection: verify_commands(connection, policy, instant(now), limit=100)
        ).verifies
    )


def test_nothing_left_is_proven_at_once(ledger: Database) -> None:
    command = send_erasure(ledger)
    result = acknowledge(
        ledger, command, "done", FAR, counts={"rows": 1}, policy=NEVER_SAMPLED, checked=NOTHING
    )
    assert (result.state, result.reopened) == ("erased", False)
    assert result.verified_after is not None
    assert verifications(ledger) == 0


def test_the_evidence_has_what_was_read(ledger: Database) -> None:
    """How many records were read again, how many rows were left, and that this proved the erasure."""
    command = send_erasure(ledger)
    acknowledge(ledger, command, "done", FAR, policy=NEVER_SAMPLED, checked=NOTHING)
    [entry] = [
        row for row in select_rows(ledger, tables.evidence_pending) if row.kind == "answered"
    ]
    body = json.loads(entry.body)
    assert (body["read_again"], body["found"], entry.states) == (1, {"feedback": 0}, "e")


def test_what_is_left_is_commanded_again(ledger: Database) -> None:
    command = send_erasure(ledger)
    left = Checked(records=1, found={"feedback": 0, "copies": 2})
    result = acknowledge(ledger, command, "done", FAR, policy=NEVER_SAMPLED, checked=left)
    assert (result.state, result.reopened) == ("reopened", True)
    assert verifications(ledger) == 0
    [again] = select_rows(ledger, tables.command, supersedes=command)
    assert (again.action, again.state) == ("erase", "unsent")


def test_what_is_left_under_a_hold_is_not_commanded(ledger: Database) -> None:
    """It is shown as reopened; the repetition is stopped before it is sent."""
    command = send_erasure(ledger)
    hold = event(
        "h1",
        "privacy.hold-placed",
        "2059-12-31T00:00:00Z",
        subject="visitor:v1",
        hold_id="H1",
        ground="legal_claim",
    )
    (row,) = select_rows(ledger, tables.command, command_id=command)
    record_events(ledger, [{**hold, "data": {**hold["data"], "subject": row.subject}}], FAR)
    left = Checked(records=1, found={"feedback": 1})
    acknowledge(ledger, command, "done", FAR, policy=NEVER_SAMPLED, checked=left)
    verifications(ledger)
    bus = FakeBus()
    send_due(ledger, bus, FAR)
    assert [sent.value["action"] for sent in bus.sent if sent.value["action"] == "erase"] == []


@pytest.mark.parametrize(
    "checked",
    [
        pytest.param(None, id="not read again"),
        pytest.param(Checked(records=0, found={"feedback": 0}), id="fewer records"),
        pytest.param(Checked(records=2, found={"feedback": 0}), id="more records"),
        pytest.param(Checked(records=1, found={}), id="nothing counted"),
    ],
)
def test_a_verification_follows_unless_all_records_were_read_again(
    ledger: Database, checked: Checked | None
) -> None:
    """Proof by omission is none: a system names how many records it read, and counts rows."""
    command = send_erasure(ledger)
    acknowledge(ledger, command, "done", FAR, policy=NEVER_SAMPLED, checked=checked)
    assert state_of(ledger, command) == "acknowledged"
    assert verifications(ledger) == 1


@pytest.mark.parametrize("status", ["nothing_held", "already_done"])
def test_only_done_proves(ledger: Database, status: str) -> None:
    """A system that held nothing, although the ledger has records, is asked."""
    command = send_erasure(ledger)
    acknowledge(ledger, command, status, FAR, policy=NEVER_SAMPLED, checked=NOTHING)  # type: ignore[arg-type]
    assert verifications(ledger) == 1


def test_a_sample_is_verified_all_the_same(ledger: Database) -> None:
    command = send_erasure(ledger)
    acknowledge(ledger, command, "done", FAR, policy=ALWAYS_SAMPLED, checked=NOTHING)
    assert state_of(ledger, command) == "acknowledged"
    assert verifications(ledger, ALWAYS_SAMPLED) == 1


def test_about_one_in_so_many_is_in_the_sample(ledger: Database) -> None:
    """Of 300 erasures about half are verified where the policy has one in two."""
    policy = replace(POLICY, verify_one_in=2)
    record_events(ledger, [given_by(n) for n in range(300)], JOINED)
    commands = claim_all(ledger, FAR)
    send_due(ledger, FakeBus(), FAR)
    for command in commands:
        acknowledge(ledger, command, "done", FAR, policy=policy, checked=NOTHING)
    states = Counter(row.state for row in select_rows(ledger, tables.command, action="erase"))
    assert set(states) == {"erased", "acknowledged"}
    assert 90 < states["acknowledged"] < 210


def test_a_policy_that_waits_is_obeyed(ledger: Database) -> None:
    """A replica may need a while: what was read at once proves nothing."""
    late = replace(NEVER_SAMPLED.systems["website"], verify_after="PT2H")
    policy = replace(NEVER_SAMPLED, systems={**POLICY.systems, "website": late})
    command = send_erasure(ledger)
    acknowledge(ledger, command, "done", FAR, policy=policy, checked=NOTHING)
    assert state_of(ledger, command) == "acknowledged"
    assert verifications(ledger, policy, "2060-01-01T02:00:00Z") == 1


def test_a_reading_after_the_acknowledgement_changes_nothing(ledger: Database) -> None:
    """The verification of the first acknowledgement is on its way, and decides."""
    command = send_erasure(ledger)
    acknowledge(ledger, command, "done", FAR, policy=NEVER_SAMPLED)
    assert verifications(ledger) == 1
    acknowledge(ledger, command, "done", FAR, policy=NEVER_SAMPLED, checked=NOTHING)
    assert state_of(ledger, command) == "acknowledged"
    send_due(ledger, FakeBus(), FAR)
    [check] = select_rows(ledger, tables.command, action="verify")
    assert acknowledge(ledger, check.command_id, "done", FAR, counts={"rows": 1}).reopened


def test_what_was_recalled_and_done_all_the_same_is_proven(ledger: Database) -> None:
    """The acknowledgement overtakes the recall: the erasure happened, and this proves it."""
    record_events(ledger, [invoice("i1", JOINED), terminated("t1", JOINED)], JOINED)
    commands = claim_all(ledger, "2022-06-01T00:00:00Z")
    send_due(ledger, FakeBus(), "2022-06-01T00:00:00Z")
    record_events(
        ledger,
        [event("r1", "customers.customer-reinstated", "2022-05-01T12:00:00Z", customer_id="1")],
        "2022-06-01T01:00:00Z",
    )
    (command, *_) = [
        row.command_id
        for row in select_rows(ledger, tables.command, state="recalling")
        if row.command_id in commands
    ]
    acknowledge(ledger, command, "done", FAR, policy=NEVER_SAMPLED, checked=NOTHING)
    assert state_of(ledger, command) == "erased"


def test_the_same_id_with_another_reading_is_another_acknowledgement(ledger: Database) -> None:
    command = send_erasure(ledger)
    acknowledge(ledger, command, "done", FAR, id="a", policy=NEVER_SAMPLED, checked=NOTHING)
    assert acknowledge(
        ledger, command, "done", FAR, id="a", policy=NEVER_SAMPLED, checked=NOTHING
    ).repeated
    left = Checked(records=1, found={"feedback": 1})
    with pytest.raises(ReusedAcknowledgement):
        acknowledge(ledger, command, "done", FAR, id="a", policy=NEVER_SAMPLED, checked=left)
