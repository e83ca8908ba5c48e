"""The ledger's own retention: a person is removed from it once the proof's term is over.

Nothing else changes: later events are decided as if no one had been purged. Each on SQLite and on
PostgreSQL.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.crypto.tombstones import TombstoneCipher
from services.deleter.verification import BackupTooOld, recommand_since
from services.events.incoming_event import build_incoming_event
from services.ledger import blind_spots, tables
from services.ledger.blind_spots import ParkedEvent
from services.ledger.recording import record_events
from services.ledger.tombstones import TombstoneKeyMismatch, bind_key, restore_tombstones
from services.policy.plans import compile_policy
from services.policy.untaggable_events import VisibleParts
from services.storage import dead_letters
from services.storage.database import Database
from services.storage.dead_letters import DeadLetter
from tests.contract.event_builders import (
    Event,
    arrival,
    event,
    invoice,
    reinstated,
    signed_up,
    terminated,
)
from tests.contract.ledger_life import LedgerLife
from tests.contract.ledgers import (
    POLICY,
    acknowledge,
    claim_all,
    empty_database,
    instant,
    select_rows,
    send_due,
)
from tests.effort import examples
from tests.oracle.strategies_rights import event_sets_with_rights

JOINED, ENDED = "2010-01-01T12:00:00Z", "2010-06-01T12:00:00Z"
GONE = "2012-06-01T12:00:00Z"
"""R1: two years after the end; the commands have left a day earlier."""
LATER = "2012-08-01T12:00:00Z"
MUCH_LATER = "2015-01-01T12:00:00Z"
SIX = ("crm", "lease", "orders", "printer", "psp", "website")
"""The systems of a sign-up."""


@pytest.fixture
def life(ledger: Database) -> LedgerLife:
    return LedgerLife(ledger=ledger)


def end_customer(life: LedgerLife) -> None:
    """End a customer `K-77`, of whom everything is then erased and proven."""
    life.record_events([signed_up("e1", JOINED, "K-77"), terminated("e2", ENDED, "K-77")], ENDED)
    life.work(GONE)


def lead(id_: str, time: str) -> Event:
    """Return a prospect `P-9`, met at a fair."""
    business_event = event(id_, "acquisition.lead-acquired", time, prospect_id="P-9")
    business_event["data"]["source"] = "a fair"
    return business_event


def sent_commands(life: LedgerLife, action: str = "erase") -> list[tuple[str, str]]:
    """Return system and subject of each sent command of a kind, sorted."""
    return sorted(
        (command.system, command.key)
        for command in life.bus.sent
        if command.value["action"] == action
    )


def test_nothing_is_purged_before_the_term_of_the_proof_is_over(life: LedgerLife) -> None:
    """The term ends a month after the proof, to the second."""
    end_customer(life)
    assert life.purge("2012-07-01T11:59:59Z") == {}
    assert life.purge("2012-07-01T12:00:00Z")["events"] == 2


def test_the_names_of_purged_people_are_nowhere_in_the_ledger(life: LedgerLife) -> None:
    """Only counts and keyed hashes are left; entries that wait for the evidence are left aside."""
    end_customer(life)
    assert "K-77" in life.dump()
    counts = life.purge(LATER)
    life.seal_evidence(LATER)
    assert "K-77" not in life.dump()
    assert select_rows(life.ledger, tables.command) == select_rows(life.ledger, tables.member) == []
    assert counts == {
        **{"events": 2, "clocks": 1, "subjects": 1, "commands": 11},
        "messages": 11,
    }


def test_an_event_that_is_delivered_again_is_a_duplicate(life: LedgerLife) -> None:
    """As a new event it would open a clock that never ends."""
    end_customer(life)
    life.purge(LATER)
    recorded = life.record_events(
        [terminated("e2", ENDED, "K-77"), signed_up("e1", JOINED, "K-77")], MUCH_LATER
    )
    assert (recorded.new, recorded.duplicates, recorded.conflicts) == (0, 2, ())
    assert "K-77" not in life.dump()


def test_an_event_with_a_purged_identity_and_other_content_is_not_a_duplicate(
    life: LedgerLife,
) -> None:
    """It is parked, as if the first were still there."""
    end_customer(life)
    life.purge(LATER)
    recorded = life.record_events([signed_up("e1", JOINED, "K-78")], MUCH_LATER)
    assert (recorded.new, recorded.duplicates) == (0, 0)
    assert [conflict.id for conflict in recorded.conflicts] == ["e1"]


def test_a_late_record_depends_on_the_purged_end(life: LedgerLife) -> None:
    """An invoice from before the end is due at once under R1, and is kept for seven years by law."""
    end_customer(life)
    life.purge(LATER)
    before = len(life.bus.sent)
    recorded = life.record_events([invoice("e3", "2010-03-01T12:00:00Z", "K-77")], MUCH_LATER)
    life.work(MUCH_LATER)
    assert (recorded.after_end, recorded.overdue) == (0, 1)
    late = [command for command in life.bus.sent[before:] if command.value["action"] == "erase"]
    assert [(command.system, command.key) for command in late] == [("crm", "customer:K-77")]
    assert late[0].value["seq"] == 12
    assert select_rows(life.ledger, tables.record)


def test_a_customer_who_comes_back_is_a_customer_again(life: LedgerLife) -> None:
    """The start changes the purged clock, and no later event is due."""
    end_customer(life)
    life.purge(LATER)
    life.record_events(
        [
            reinstated("e3", "2014-01-01T12:00:00Z", "K-77"),
            invoice("e4", "2014-02-01T12:00:00Z", "K-77"),
        ],
        MUCH_LATER,
    )
    life.work(MUCH_LATER)
    assert sent_commands(life) == [(system, "customer:K-77") for system in SIX]
    assert [
        row.anchor_at for row in select_rows(life.ledger, tables.clock, clock="relationship")
    ] == [None]


def test_a_restored_clock_follows_the_active_policy(life: LedgerLife) -> None:
    """A longer term gives the clock a second check time, ten years after its end less a day."""
    end_customer(life)
    life.purge(LATER)
    rules = {**POLICY.rules, "R1": replace(POLICY.rules["R1"], term="P10Y")}
    longer = replace(POLICY, rules=rules)
    incoming = [
        build_incoming_event(arrival(invoice("e3", JOINED, "K-77"), POLICY), compile_policy(POLICY))
    ]
    with life.ledger.transaction() as connection:
        restore_tombstones(connection, incoming, life.tombstone_cipher, longer)
    [clock] = select_rows(life.ledger, tables.clock)
    assert clock.next_due == instant("2020-05-31T12:00:00Z")


def test_unproven_erasures_are_not_purged(life: LedgerLife) -> None:
    """All systems have acknowledged, but one is not verified yet."""
    life.record_events([signed_up("e1", JOINED, "K-77"), terminated("e2", ENDED, "K-77")], ENDED)
    claim_all(life.ledger, GONE)
    send_due(life.ledger, life.bus, GONE)
    for row in select_rows(life.ledger, tables.command):
        acknowledge(life.ledger, row.command_id, "done", GONE, counts={"rows": 1})
    life.seal_evidence(GONE)
    assert life.purge(MUCH_LATER) == {}


def test_a_person_under_a_legal_hold_is_not_purged(life: LedgerLife) -> None:
    """The hold is placed after everything was erased, and counts until its release."""
    end_customer(life)
    hold = {"subject": "customer:K-77", "hold_id": "h1"}
    life.record_events(
        [event("p1", "privacy.hold-placed", LATER, ground="legal_claim", **hold)],
        LATER,
    )
    life.work(LATER)
    assert life.purge(MUCH_LATER) == {"commands": 5, "messages": 5}
    life.record_events([event("p2", "privacy.hold-released", MUCH_LATER, **hold)], MUCH_LATER)
    life.work(MUCH_LATER)
    assert life.purge("2016-01-01T12:00:00Z")["events"] == 2


@pytest.mark.parametrize(
    ("seen", "is_kept"),
    [
        (VisibleParts(event_type="privacy.hold-placed", subject="customer:K-77"), True),
        (VisibleParts(event_type="privacy.hold-placed"), True),
        (VisibleParts(event_type="customers.customer-reinstated"), True),
        (VisibleParts(event_type=None), True),
        (VisibleParts(event_type="privacy.hold-placed", subject="customer:other"), False),
    ],
    ids=["theirs", "of nobody that can be seen", "of some clock", "of no type", "another's"],
)
def test_a_person_whom_a_parked_event_may_be_about_is_not_purged(
    life: LedgerLife, seen: VisibleParts, is_kept: bool
) -> None:
    """If it were replayed later, the ledger would know nothing of its person."""
    end_customer(life)
    at = instant(LATER)
    letter = DeadLetter(
        role="recorder",
        reason="unknown-source",
        detail="",
        topic="t",
        partition=0,
        offset=0,
        timestamp=at,
        at=at,
        key_id="k",
        sealed=b"",
    )
    parked = ParkedEvent(
        dead_letter_id=letter.dead_letter_id, topic="t", partition=0, offset=0, visible_parts=seen
    )
    life.ledger.run_in_transaction(lambda c: dead_letters.store(c, [letter]))
    life.ledger.run_in_transaction(
        lambda c: blind_spots.store_parked_events(c, [parked], life.tombstone_cipher)
    )
    going = {"events", "clocks", "subjects"}
    assert life.purge(LATER).keys() & going == (set() if is_kept else going)
    life.ledger.run_in_transaction(
        lambda c: dead_letters.close(c, letter, "discarded", operator="o", reason="r", now=at)
    )
    assert life.purge(LATER).keys() & going == (going if is_kept else set())


def test_an_objection_stays_valid_after_its_person_is_purged(life: LedgerLife) -> None:
    """Acquisition is refused permanently: a lead bought years later is erased at once (GDPR 21(3))."""
    life.record_events([lead("l1", JOINED)], JOINED)
    objection = {"subject": "prospect:P-9", "purpose": "acquisition", "objection_id": "b1"}
    life.record_events(
        [
            event("o1", "privacy.objection-raised", ENDED, **objection),
            event("o2", "privacy.objection-decided", ENDED, **objection, outcome="upheld"),
        ],
        ENDED,
    )
    life.work("2010-06-02T12:00:00Z")
    for year in range(2011, 2023):
        life.work(f"{year}-01-01T12:00:00Z")
    life.purge("2023-01-01T12:00:00Z")
    assert "P-9" not in life.dump()
    before = len(life.bus.sent)
    life.record_events(
        [lead("l2", "2023-02-01T12:00:00Z")],
        "2023-02-01T12:00:00Z",
    )
    life.work("2023-02-01T12:00:00Z")
    late = {
        command.system for command in life.bus.sent[before:] if command.value["action"] == "erase"
    }
    assert late == {"crm", "mail", "post"}


def test_without_the_key_of_tombstones_nothing_is_recorded(life: LedgerLife) -> None:
    """The subject of a hold or of an end could not be determined."""
    end_customer(life)
    life.purge(LATER)
    life.tombstone_cipher = TombstoneCipher(bytes(31) + b"1")
    with pytest.raises(TombstoneKeyMismatch, match=r"remains\.key"):
        life.record_events([signed_up("e9", LATER, "K-1")], LATER)
    assert select_rows(life.ledger, tables.event) == []


def test_the_key_of_tombstones_is_fixed_long_before_anything_is_purged(life: LedgerLife) -> None:
    """A host with a key of its own is refused on its first day, not after years."""
    with life.ledger.transaction() as connection:
        bind_key(connection, life.tombstone_cipher)
        bind_key(connection, life.tombstone_cipher)
        with pytest.raises(TombstoneKeyMismatch):
            bind_key(connection, TombstoneCipher(bytes(31) + b"1"))


def test_a_backup_from_before_a_purge_is_refused(life: LedgerLife) -> None:
    """The ledger no longer knows what its system would have to erase again."""
    end_customer(life)
    life.purge(LATER)
    with life.ledger.transaction() as connection:
        with pytest.raises(BackupTooOld, match="restore a newer backup"):
            recommand_since(connection, "crm", instant(GONE), instant(MUCH_LATER))
        after = instant(GONE) + timedelta(seconds=1)
        assert recommand_since(connection, "crm", after, instant(MUCH_LATER)) == 0


def test_a_purge_is_in_the_evidence_without_names(life: LedgerLife) -> None:
    """The entry has the count of each kind, and is chained with all others."""
    end_customer(life)
    life.purge(LATER)
    life.seal_evidence(LATER)
    entries = [json.loads(row.entry) for row in select_rows(life.ledger, tables.evidence)]
    purge_counts = [entry["counts"] for entry in entries if entry["kind"] == "forgotten"]
    assert sum(counts.get("events", 0) for counts in purge_counts) == 2
    assert "K-77" not in json.dumps(entries)


@pytest.mark.postgres
def test_a_purge_waits_for_a_recorder_of_the_same_person(postgres_ledger: Database) -> None:
    """The purge sees the record that arrived meanwhile, so that person's privacy events stay."""
    life = LedgerLife(ledger=postgres_ledger)
    end_customer(life)
    life.purge("2012-06-15T12:00:00Z")  # nothing: but the row that is locked is there from now on
    incoming = [
        build_incoming_event(arrival(invoice("e3", JOINED, "K-77"), POLICY), compile_policy(POLICY))
    ]
    with ThreadPoolExecutor() as threads:
        with postgres_ledger.transaction() as connection:
            recalled = restore_tombstones(connection, incoming, life.tombstone_cipher, POLICY)
            forgetting = threads.submit(life.purge, LATER)
            with pytest.raises(TimeoutError):
                forgetting.result(timeout=0.5)
            record_events(connection, recalled.events, POLICY, instant(LATER))
        forgotten = forgetting.result(timeout=300)
    assert "subjects" not in forgotten
    assert "clocks" not in forgotten
    assert [row.key for row in select_rows(postgres_ledger, tables.clock)] == ["K-77"]


LATE = (0, 0, 0, 40, 1_200, 4_000, 9_000)
"""So many days an event may come late."""


@settings(
    max_examples=examples(10),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(events=event_sets_with_rights(duplicates=False), data=st.data())
def test_a_purge_changes_no_command(
    ledger: Database, events: list[Event], data: st.DataObject
) -> None:
    """With late and repeated events, rights and holds, a purge changes none of the commands.

    Afterwards no more people are left; fewer may be, such as one who shares an event with another whose
    hold came after the purge of both.
    """
    arriving = [
        (instant(event["time"]) + timedelta(days=data.draw(st.sampled_from(LATE))), event)
        for event in events
    ]
    arriving += [
        (at + timedelta(days=data.draw(st.sampled_from(LATE[3:]))), event)
        for at, event in arriving
        if data.draw(st.booleans())
    ]
    kept = live_through(LedgerLife(ledger=empty_database(ledger)), arriving, forgets=False)
    purged = live_through(LedgerLife(ledger=empty_database(ledger)), arriving, forgets=True)
    assert purged.commands == kept.commands
    assert purged.subjects <= kept.subjects


class LivedThrough(NamedTuple):
    """All commands that were sent, by id, and the subjects left long after."""

    commands: dict[str, dict[str, Any]]
    subjects: set[str]


def live_through(
    life: LedgerLife, arriving: list[tuple[datetime, Event]], *, forgets: bool
) -> LivedThrough:
    """Return what a ledger has done until everything is over.

    So a person who was restored from a tombstone, once or more, is purged again.
    """
    moments = sorted({at for at, _ in arriving})
    looks = {
        at + timedelta(days=days) for at in moments for days in (0, 45, 400, 800, 2_700, 7_400)
    }
    for now in sorted(looks):
        life.record_events([event for at, event in arriving if at == now], now)
        life.work(now)
        if forgets:
            life.purge(now, page=100)
    long_after = max(looks, default=instant(LATER)) + timedelta(days=7_400)
    life.work(long_after)
    life.purge(long_after, page=100)
    commands_sent = {}
    for command in life.bus.sent:
        value = dict(command.value)
        del value["issued_at"], value["attempt"], value["valid_until"]
        commands_sent[value["command_id"]] = value
    subjects = {row.subject for row in select_rows(life.ledger, tables.subject)}
    return LivedThrough(commands_sent, subjects)
