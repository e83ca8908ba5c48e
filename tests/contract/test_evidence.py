"""Evidence: each change of a command is in the log once, chained, without personal data.

Each on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, event, insert, select, update

from services.crypto.keyring import Keyring, new_key
from services.crypto.pseudonyms import Pseudonymizer
from services.deleter.escalation import close_command
from services.deleter.verification import recommand_since, verify_commands
from services.evidence.export import NoSignedHead, export_lines
from services.evidence.hash_chain import GENESIS, entry_hash
from services.evidence.seal_entries import (
    NOTHING_APPENDED,
    AppendResult,
    PseudonymKeyMismatch,
    append_entries,
    rekey,
)
from services.evidence.self_check import ChainSelfCheck
from services.evidence.verify import VerifiedLog, verify_lines
from services.ledger import active_policy, state_changes, tables
from services.requests.build_report import build_report
from services.requests.decisions import decide
from services.requests.responder import load_cases
from services.storage import audit_outbox, operator_log
from services.storage.database import Database
from tests.contract.event_builders import event as event_of
from tests.contract.event_builders import feedback, invoice, reinstated, signed_up, terminated
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    instant,
    later,
    record_events,
    roll_back,
    select_rows,
    send_due,
)

REFERENCES = Pseudonymizer(bytes(32))
RING = Keyring((new_key(),))
JOINED, ENDED, BACK = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z", "2021-01-01T12:00:00Z"
FAR = "2060-01-01T00:00:00Z"
THEN = instant(FAR)


def seal(ledger: Database, now: datetime = THEN, limit: int = 5_000) -> AppendResult:
    """Append the queued entries once, and return the result."""
    return ledger.run_in_transaction(
        lambda connection: append_entries(
            connection,
            REFERENCES,
            lambda: RING,
            now,
            limit=limit,
            head_every=timedelta(microseconds=1),
        )
    )


def entries(ledger: Database) -> list[dict[str, Any]]:
    """Return the log's entries, in order."""
    return [json.loads(row.entry) for row in select_rows(ledger, tables.evidence)]


def logged_states(ledger: Database) -> list[tuple[str, str, str | None]]:
    """Return kind, action and states of the entries about commands, in order."""
    return [
        (entry["kind"], entry["action"], entry.get("states"))
        for entry in entries(ledger)
        if "system" in entry
    ]


def root_of_one(command: UUID, subject: str) -> str:
    """Return the Merkle root of a message with one command, computed by hand."""
    parts = [(f"command\0{command}", 16), (f"subject\0{subject}", 16)]
    hashes = [hmac.digest(bytes(32), text.encode(), "sha256")[:size] for text, size in parts]
    return hashlib.sha256(b"\0" + b"".join(hashes) + bytes(4)).hexdigest()


def verify(ledger: Database) -> VerifiedLog:
    """Verify the log as it would be exported."""
    return verify_lines([f"{line}\n".encode() for line in export_lines(ledger)])


def prove_erasure(ledger: Database, bus: FakeBus) -> UUID:
    """Make an erasure of one record, and prove it."""
    record_events(ledger, [feedback("e1", JOINED)], JOINED)
    (identity,) = claim_all(ledger, FAR)
    send_due(ledger, bus, FAR)
    acknowledge(ledger, identity, "done", FAR, counts={"rows": 1, "Jan Jansen": 2})
    [verify] = ledger.run_in_transaction(
        lambda connection: verify_commands(connection, POLICY, instant(FAR), limit=9)
    ).verifies
    send_due(ledger, bus, FAR)
    acknowledge(ledger, verify, "done", FAR, counts={"rows": 0})
    return identity


class TestEntries:
    """Each change in the outbox has one entry."""

    def test_the_evidence_has_an_erasure_from_decision_to_proof(self, ledger: Database) -> None:
        """It is decided, sent and acknowledged, and so is its verification, which proves it."""
        prove_erasure(ledger, FakeBus())
        seal(ledger)
        assert logged_states(ledger) == [
            ("commanded", "erase", None),
            ("sent", "erase", "s"),
            ("answered", "erase", "a"),
            ("commanded", "verify", None),
            ("sent", "verify", "s"),
            ("answered", "verify", "a"),
            ("state", "erase", "e"),
        ]

    def test_an_entry_of_a_message_has_its_reasons(self, ledger: Database) -> None:
        """System, purposes, rules, article and policy in clear; whose data it is, only as a root."""
        identity = prove_erasure(ledger, FakeBus())
        seal(ledger)
        [decision, _] = [entry for entry in entries(ledger) if entry["kind"] == "sent"]
        assert decision["root"] == root_of_one(identity, "visitor:1")
        assert (decision["items"], decision["attempt"]) == (1, 1)
        assert (decision["system"], decision["records"]) == ("website", 1)
        assert decision["rules"] == ["D5"]
        assert decision["purposes"] == ["website_experience"]
        assert decision["article"] == "GDPR 5(1)(e), 17(1)(a)"
        assert decision["policy_version"] == POLICY.version

    def test_texts_of_a_system_are_not_in_the_evidence(self, ledger: Database) -> None:
        """Counts under unknown names are added up, and nothing of a subject is in the log."""
        prove_erasure(ledger, FakeBus())
        seal(ledger)
        [completed] = [
            entry for entry in entries(ledger) if entry.get("counts", {}).get("rows") == 1
        ]
        assert completed["counts"] == {"rows": 1, "other": 2}
        everything = json.dumps(entries(ledger))
        assert "visitor" not in everything
        assert "Jan" not in everything

    def test_an_operator_and_the_reason_are_keyed(self, ledger: Database) -> None:
        """The action is in clear, and so is its object where that is not a person."""
        at = instant(FAR)
        for action, target in (("pause", "system:crm"), ("dead-letters discard", "a7")):
            with ledger.transaction() as connection:
                reason = "customer:K1 asked"
                operator_log.log_operator_action(
                    connection, action, target, operator="Jan", reason=reason, now=at
                )
        seal(ledger)
        first, second = (entry for entry in entries(ledger) if entry["kind"] == "operator")
        assert (first["action"], first["target"]) == ("pause", "system:crm")
        assert first["operator"] == REFERENCES.pseudonym("text", "Jan").hex()
        assert second["target"] == REFERENCES.pseudonym("text", "a7").hex()
        assert "K1" not in json.dumps([first, second])

    def test_an_unknown_field_is_keyed(self, ledger: Database) -> None:
        """Only fields known to name no person are in the log in clear."""
        entry = audit_outbox.AuditEntry(THEN, "policy", {"name": "Jan", "names": ["Jan"]})
        with ledger.transaction() as connection:
            audit_outbox.enqueue(connection, [entry])
        seal(ledger)
        [policy_entry] = [entry for entry in entries(ledger) if entry["kind"] == "policy"]
        assert policy_entry["name"] == REFERENCES.pseudonym("text", "Jan").hex()
        assert policy_entry["names"] == REFERENCES.pseudonym("text", '["Jan"]').hex()

    def test_the_evidence_has_an_answered_request(self, ledger: Database) -> None:
        """The person and the request's id are keyed, and the result is in clear, once."""
        request = {"subject": "visitor:1", "request_id": "Q1"}
        request_events = [
            event_of("r1", "privacy.request-received", JOINED, right="erasure", **request),
            event_of("r2", "privacy.identity-verified", JOINED, **request),
        ]
        record_events(ledger, [feedback("e1", JOINED), *request_events], JOINED)
        with ledger.transaction() as connection:
            [case] = load_cases(connection, "visitor:1", POLICY)
            report = build_report(connection, case, POLICY, THEN)
            for _ in range(2):
                decide(connection, [case], report, THEN)
        seal(ledger)
        [entry] = [entry for entry in entries(ledger) if entry["kind"] == "concluded"]
        assert entry["answer"] == "privacy.request-answered"
        assert entry["subject"] == REFERENCES.pseudonym("subject", "visitor:1").hex()
        assert entry["request"] == REFERENCES.pseudonym("request", "Q1").hex()
        assert entry["pending"] == ["crm", "mail", "website"]

    def test_the_evidence_has_the_first_use_of_a_policy(self, ledger: Database) -> None:
        """Its first use is on record, and no later one."""
        for _ in range(2):
            ledger.run_in_transaction(
                lambda connection: active_policy.require_active(connection, POLICY, instant(FAR))
            )
        seal(ledger)
        [entry] = [entry for entry in entries(ledger) if entry["kind"] == "policy"]
        assert (entry["policy"], entry["version"]) == (POLICY.policy, POLICY.version)

    def test_the_evidence_has_recalls_and_cancellations(self, ledger: Database) -> None:
        """A sent command is recalled by another command, and an unsent one is cancelled."""
        record_events(ledger, [signed_up("e1", JOINED), terminated("e2", ENDED)], JOINED)
        command_ids = claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR, limit=1)
        record_events(ledger, [reinstated("e3", BACK)], FAR)
        seal(ledger)
        log = entries(ledger)
        counts = Counter[tuple[str, str, str | None]]()
        for entry in log:
            if "commands" in entry:
                counts[entry["kind"], entry["action"], entry.get("state")] += entry["commands"]
        assert counts == {
            ("commanded", "erase", None): len(command_ids),
            ("commanded", "recall", None): 1,
            ("state", "erase", "cancelled"): len(command_ids) - 1,
        }
        states = [entry["states"] for entry in log if entry["kind"] == "state" if "root" in entry]
        assert states == ["l"]

    def test_the_evidence_has_abandoned_and_repeated_commands(self, ledger: Database) -> None:
        """Both are changes in the outbox."""
        proven = prove_erasure(ledger, FakeBus())
        ledger.run_in_transaction(
            lambda connection: recommand_since(connection, "website", instant(JOINED), instant(FAR))
        )
        again = ledger.run_in_transaction(
            lambda connection: verify_commands(connection, POLICY, instant(FAR), limit=9)
        ).repeated
        send_due(ledger, FakeBus(), FAR)
        ledger.run_in_transaction(
            lambda connection: close_command(connection, again[0], instant(FAR))
        )
        seal(ledger)
        changes = [
            (entry["root"], entry["states"])
            for entry in entries(ledger)
            if entry["kind"] == "state"
        ]
        assert changes[-2:] == [
            (root_of_one(proven, "visitor:1"), "o"),
            (root_of_one(again[0], "visitor:1"), "x"),
        ]

    def test_each_attempt_has_its_entry(self, ledger: Database) -> None:
        """A repetition does not change the state, but it has an entry."""
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        send_due(ledger, FakeBus(), later(FAR, minutes=2))
        seal(ledger)
        assert [entry["attempt"] for entry in entries(ledger) if entry["kind"] == "sent"] == [1, 2]

    def test_a_repeated_acknowledgement_has_no_second_entry(self, ledger: Database) -> None:
        """A repeated acknowledgement counts once."""
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        for _ in range(2):
            acknowledge(ledger, identity, "failed", FAR, id="same")
        seal(ledger)
        assert [entry["kind"] for entry in entries(ledger)].count("answered") == 1

    def test_a_second_acknowledgement_of_a_verification_changes_no_state(
        self, ledger: Database
    ) -> None:
        """A second acknowledgement of the verification has an entry, but changes no state."""
        bus = FakeBus()
        prove_erasure(ledger, bus)
        [check] = [
            command.value["command_id"]
            for command in bus.sent
            if command.value["action"] == "verify"
        ]
        acknowledge(ledger, UUID(check), "done", FAR, counts={"rows": 0})
        seal(ledger)
        assert logged_states(ledger)[-2:] == [("state", "erase", "e"), ("answered", "verify", "a")]

    def test_a_transaction_that_is_rolled_back_leaves_nothing(self, ledger: Database) -> None:
        """It leaves neither a command nor an entry about one."""
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = claim_all(ledger, FAR)
        [row] = select_rows(ledger, tables.command, command_id=identity)
        before = len(select_rows(ledger, tables.evidence_pending))
        roll_back(
            ledger,
            lambda connection: state_changes.transition(
                connection, [row], "closed_by_operator", instant(FAR)
            ),
        )
        assert len(select_rows(ledger, tables.evidence_pending)) == before


class TestSealing:
    """Entries get consecutive numbers and hashes that follow on each other."""

    def test_each_entry_has_the_hash_of_the_one_before(self, ledger: Database) -> None:
        """The first entry names the key of the references, and each hash covers the one before."""
        prove_erasure(ledger, FakeBus())
        assert seal(ledger).entries == 8
        before = GENESIS
        for expected, row in enumerate(select_rows(ledger, tables.evidence), start=1):
            assert row.number == expected == json.loads(row.entry)["n"]
            assert row.hash == entry_hash(before, row.entry)
            before = row.hash
        assert entries(ledger)[0]["key"] == REFERENCES.key_id
        assert select_rows(ledger, tables.evidence_pending) == []

    def test_appending_in_parts_makes_the_same_chain(self, ledger: Database) -> None:
        """A transaction may append few entries or many."""
        prove_erasure(ledger, FakeBus())
        counts = [seal(ledger, later(FAR, seconds=n), limit=3).entries for n in range(4)]
        assert counts == [4, 3, 1, 0]
        assert verify(ledger).entries == 8

    def test_without_new_entries_nothing_is_written(self, ledger: Database) -> None:
        """Not even a lock is taken, since a deleter checks several times a second."""
        prove_erasure(ledger, FakeBus())
        seal(ledger)
        statements: list[str] = []

        def note(_: Any, __: Any, statement: str, *___: Any) -> None:
            statements.append(statement)

        event.listen(ledger.engine, "before_cursor_execute", note)
        seal(ledger)
        event.remove(ledger.engine, "before_cursor_execute", note)
        assert {statement.split()[0] for statement in statements} <= {"SELECT", "BEGIN"}
        assert not any("FOR UPDATE" in statement for statement in statements)

    def test_a_crash_while_appending_changes_nothing(self, ledger: Database) -> None:
        """Entries that were not appended wait."""
        prove_erasure(ledger, FakeBus())
        roll_back(
            ledger,
            lambda connection: append_entries(connection, REFERENCES, lambda: RING, instant(FAR)),
        )
        assert (len(select_rows(ledger, tables.evidence)), seal(ledger).entries) == (0, 8)

    def test_a_head_is_signed_once_it_is_time(self, ledger: Database) -> None:
        """It is signed at once, after ten seconds with new entries, and every hour without."""
        prove_erasure(ledger, FakeBus())

        def look(at: Any) -> bool:
            with ledger.transaction() as connection:
                return append_entries(connection, REFERENCES, lambda: RING, at).head is not None

        assert look(instant(FAR))
        assert not look(later(FAR, minutes=59))
        assert look(later(FAR, minutes=60))
        record_events(ledger, [feedback("e2", JOINED)], FAR)
        claim_all(ledger, later(FAR, minutes=61))
        assert look(later(FAR, minutes=61))
        assert not look(later(FAR, minutes=61, seconds=9))

    def test_an_empty_log_has_no_head(self, ledger: Database) -> None:
        """There is nothing to export."""
        with pytest.raises(NoSignedHead):
            list(export_lines(ledger))

    def test_without_a_key_the_log_goes_on_unsigned(self, ledger: Database) -> None:
        """Where signing is off or no key is valid, entries are appended without a head."""
        prove_erasure(ledger, FakeBus())
        for ring in (None, Keyring):
            with ledger.transaction() as connection:
                appended = append_entries(connection, REFERENCES, ring, instant(FAR))
            assert appended.head is None
        assert len(entries(ledger)) == 8

    def test_another_key_of_references_is_refused(self, ledger: Database) -> None:
        """With another key no subject could be found; a rekeyed log records the change and continues."""
        prove_erasure(ledger, FakeBus())
        seal(ledger)
        other = Pseudonymizer(b"\1" * 32)
        with ledger.transaction() as connection, pytest.raises(PseudonymKeyMismatch, match="rekey"):
            append_entries(connection, other, None, instant(FAR))
        ledger.run_in_transaction(rekey)
        ledger.run_in_transaction(
            lambda connection: active_policy.require_active(connection, POLICY, instant(FAR))
        )
        with ledger.transaction() as connection:
            append_entries(connection, other, lambda: RING, later(FAR, hours=1))
        assert [entry["key"] for entry in entries(ledger) if entry["kind"] == "key"] == [
            REFERENCES.key_id,
            other.key_id,
        ]
        assert verify(ledger).entries == 10


def _nothing(_: Database) -> None:
    pass


def _alter_entry(ledger: Database) -> None:
    with ledger.transaction() as connection:
        row = connection.execute(select(tables.evidence).where(tables.evidence.c.number == 3)).one()
        other = row.entry.replace('"attempt":1', '"attempt":2')
        assert other != row.entry
        connection.execute(
            update(tables.evidence).where(tables.evidence.c.number == 3).values(entry=other)
        )


def _delete_entry(ledger: Database) -> None:
    with ledger.transaction() as connection:
        connection.execute(delete(tables.evidence).where(tables.evidence.c.number == 3))


def _delete_last_entry(ledger: Database) -> None:
    """Delete the last entry, also from the stored end of the chain."""
    with ledger.transaction() as connection:
        connection.execute(delete(tables.evidence).where(tables.evidence.c.number == 8))
        row = connection.execute(select(tables.evidence).where(tables.evidence.c.number == 7)).one()
        connection.execute(update(tables.evidence_chain).values(number=7, hash=row.hash))


def _delete_last_entry_and_head(ledger: Database) -> None:
    _delete_last_entry(ledger)
    with ledger.transaction() as connection:
        connection.execute(delete(tables.evidence_head))


def _rewrite_chain(ledger: Database) -> None:
    """Hash everything from an entry on again, without a signature."""
    _alter_entry(ledger)
    with ledger.transaction() as connection:
        before = GENESIS
        column = tables.evidence.c
        for row in connection.execute(select(tables.evidence).order_by(column.number)).all():
            before = entry_hash(before, row.entry)
            connection.execute(
                update(tables.evidence).where(column.number == row.number).values(hash=before)
            )
        connection.execute(update(tables.evidence_chain).values(hash=before))


class TestTampering:
    """Every change made to the tables from outside is found by the next check."""

    @pytest.mark.parametrize(
        "tamper", [_alter_entry, _delete_entry, _delete_last_entry, _rewrite_chain]
    )
    def test_each_kind_of_tampering_is_found(
        self, ledger: Database, tamper: Callable[[Database], None]
    ) -> None:
        """A deleter that starts afterwards finds it too, and so does an export."""
        prove_erasure(ledger, FakeBus())
        seal(ledger)
        tamper(ledger)
        with ledger.transaction() as connection:
            assert ChainSelfCheck().check_next(connection).broken

    def test_a_truncation_with_its_heads_is_found_by_a_running_deleter(
        self, ledger: Database
    ) -> None:
        """A running deleter remembers where the chain ended."""
        prove_erasure(ledger, FakeBus())
        seal(ledger)
        recheck = ChainSelfCheck()
        with ledger.transaction() as connection:
            assert recheck.check_next(connection).broken is None
        _delete_last_entry_and_head(ledger)
        with ledger.transaction() as connection:
            assert ChainSelfCheck().check_next(connection).broken is None
            assert (
                recheck.check_next(connection).broken
                == "the log ends with entry 7, and had 8 entries before"
            )

    def test_an_untampered_log_is_verified(self, ledger: Database) -> None:
        """Every check passes, in pieces, while the log grows."""
        recheck = ChainSelfCheck(chunk_size=3)
        prove_erasure(ledger, FakeBus())
        for number in range(8):
            record_events(ledger, [invoice(f"i{number}", JOINED, customer=str(number))], FAR)
            seal(ledger, limit=2)
            with ledger.transaction() as connection:
                assert recheck.check_next(connection).broken is None

    def test_tampering_far_from_the_end_is_found_in_time(self, ledger: Database) -> None:
        """Each check takes the next piece, and stays with a wrong one."""
        prove_erasure(ledger, FakeBus())
        seal(ledger)
        recheck = ChainSelfCheck(chunk_size=2)
        _alter_entry(ledger)
        faults = []
        for _ in range(3):
            with ledger.transaction() as connection:
                faults.append(recheck.check_next(connection).broken)
        assert faults == [None, "entry 3 was altered", "entry 3 was altered"]


def test_many_processes_that_append_make_one_chain(postgres_ledger: Database) -> None:
    """Numbers are consecutive and each entry is in it once, in whatever order writers commit."""
    ledger = postgres_ledger
    at = instant(FAR)

    def write(writer: int) -> None:
        for number in range(20):
            body = {
                "operator": "x",
                "action": "pause",
                "target": f"{writer}-{number}",
                "because": "y",
            }
            entry = audit_outbox.AuditEntry(at, "operator", body)
            with ledger.transaction() as connection:
                audit_outbox.enqueue(connection, [entry])

    def keep_sealing(_: int) -> int:
        return sum(
            ledger.run_in_transaction(
                lambda connection: append_entries(
                    connection, REFERENCES, lambda: RING, at, limit=7, head_every=timedelta(days=1)
                )
            ).entries
            for _ in range(60)
        )

    with ThreadPoolExecutor(6) as pool:
        writing = [pool.submit(write, number) for number in range(3)]
        sealing = [pool.submit(keep_sealing, number) for number in range(3)]
        for task in writing + sealing:
            task.result()
    while seal(ledger).entries:
        pass
    targets = [entry["target"] for entry in entries(ledger) if entry["kind"] == "operator"]
    assert sorted(targets) == sorted(f"{w}-{n}" for w in range(3) for n in range(20))
    with ledger.transaction() as connection:
        assert ChainSelfCheck().check_next(connection).broken is None


def test_an_entry_that_commits_later_gets_a_later_number(postgres_ledger: Database) -> None:
    """This holds although its place in the queue was taken first."""
    ledger = postgres_ledger
    rows_of = [
        {"at": instant(FAR), "kind": "operator", "body": json.dumps(body)}
        for body in (
            {"operator": "x", "action": "pause", "target": "slow", "because": "y"},
            {"operator": "x", "action": "pause", "target": "fast", "because": "y"},
        )
    ]
    slow = ledger.engine.connect()
    transaction = slow.begin()
    slow.execute(insert(tables.evidence_pending), rows_of[:1])
    with ledger.transaction() as connection:
        connection.execute(insert(tables.evidence_pending), rows_of[1:])
    seal(ledger)
    transaction.commit()
    slow.close()
    seal(ledger)
    targets = [entry["target"] for entry in entries(ledger) if entry["kind"] == "operator"]
    assert targets == ["fast", "slow"]


def test_a_second_process_that_appends_does_not_wait(postgres_ledger: Database) -> None:
    """While one works there is nothing to do for another."""
    seal(postgres_ledger)
    with postgres_ledger.transaction() as connection:
        append_entries(connection, REFERENCES, None, instant(FAR))
        assert seal(postgres_ledger) == NOTHING_APPENDED
