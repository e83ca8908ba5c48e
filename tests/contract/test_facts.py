"""Facts depend only on the SET of events: any order, repetition, batching or crash gives the same.

Each on SQLite and on PostgreSQL. What depends on the order of arrival (when a record is next checked,
which import holds it back) is not a fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.events.incoming_event import TaggedEventRow
from services.ledger import tables
from services.ledger.recording import record
from services.storage.database import Database
from tests.contract.event_builders import (
    Event,
    arrival,
    contact_changed,
    engaged,
    event,
    feedback,
    invoice,
    reinstated,
    signed_up,
    supplier_ended,
    terminated,
    ticket,
    ticket_resolved,
)
from tests.contract.ledgers import (
    POLICY,
    claim_all,
    empty_database,
    list_commands,
    load_facts,
    record_events,
    roll_back,
    select_rows,
)
from tests.effort import SLOW, examples
from tests.oracle import clocks as oracle_clocks
from tests.oracle.instants import instant
from tests.oracle.strategies import event_sets

NOW = datetime(2027, 1, 1, tzinfo=UTC)
calm = settings(deadline=None, suppress_health_check=SLOW)


def record_in_one_batch(ledger: Database, events: Sequence[Event]) -> object:
    empty_database(ledger)
    ordered = sorted(
        events, key=lambda event: (instant(event["time"]), event["source"], event["id"])
    )
    record_events(ledger, ordered, NOW)
    return load_facts(ledger)


@settings(calm, max_examples=examples(35))
@given(events=event_sets(shared_systems=("repair", "research")), data=st.data())
def test_any_delivery_of_a_set_gives_the_same_facts(
    shared_ledger: Database, events: list[Event], data: st.DataObject
) -> None:
    """Batches are permuted and repeated, and may crash before their commit and come again."""
    expected = record_in_one_batch(shared_ledger, events)
    again = data.draw(st.lists(st.sampled_from(events), max_size=6), label="again")
    delivered = data.draw(st.permutations([*events, *again]), label="delivered")
    empty_database(shared_ledger)
    while delivered:
        size = data.draw(st.integers(1, len(delivered)), label="batch")
        batch, delivered = delivered[:size], delivered[size:]
        arrivals = [arrival(event, POLICY) for event in batch]
        if data.draw(st.booleans(), label="crash"):
            roll_back(shared_ledger, lambda c, a=arrivals: record(c, a, POLICY, NOW))  # type: ignore[misc]
        result = shared_ledger.run_in_transaction(lambda c, a=arrivals: record(c, a, POLICY, NOW))  # type: ignore[misc]
        assert result.conflicts == ()
        assert result.new + result.duplicates == len(batch)
    assert load_facts(shared_ledger) == expected


@settings(calm, max_examples=examples(20))
@given(events=event_sets(), data=st.data())
def test_sweeps_between_the_batches_change_no_fact(
    shared_ledger: Database, events: list[Event], data: st.DataObject
) -> None:
    """The deleter's work is in the outbox, and never changes the facts."""
    expected = record_in_one_batch(shared_ledger, events)
    empty_database(shared_ledger)
    for recorded in data.draw(st.permutations(events)):
        record_events(shared_ledger, [recorded], NOW)
        claim_all(shared_ledger, NOW, limit=1)
    assert load_facts(shared_ledger) == expected


@settings(calm, max_examples=examples(35))
@given(events=event_sets(), data=st.data())
def test_every_clock_has_the_anchor_of_the_oracle(
    shared_ledger: Database, events: list[Event], data: st.DataObject
) -> None:
    """The anchor of each clock agrees, with a contact's also by its supplier's end."""
    empty_database(shared_ledger)
    for recorded in data.draw(st.permutations(events)):
        record_events(shared_ledger, [recorded], NOW)
    anchors = {
        (row.clock, row.key): row.anchor_at for row in select_rows(shared_ledger, tables.clock)
    }
    of_key = {
        "relationship": oracle_clocks.customer_ended,
        "message": oracle_clocks.message_resolved,
        "ticket": oracle_clocks.ticket_resolved,
        "application": oracle_clocks.application_closed,
        "last-contact": oracle_clocks.last_contact,
    }
    for (clock, key), anchor_at in anchors.items():
        if clock in of_key:
            assert anchor_at == of_key[clock](events, key), (clock, key)
        if clock == "supplier-contact":
            supplier, _, contact = key.partition("/")
            assert anchor_at == oracle_clocks.supplier_or_contact_ended(events, supplier, contact)


@settings(calm, max_examples=examples(20))
@given(events=event_sets(duplicates=False), data=st.data())
def test_other_content_under_a_known_identity_is_a_conflict_and_changes_nothing(
    shared_ledger: Database, events: list[Event], data: st.DataObject
) -> None:
    """The first event stays, and the other is returned, so that it can be parked."""
    expected = record_in_one_batch(shared_ledger, events)
    original = data.draw(st.sampled_from(events))
    changed = {**original, "time": "2025-06-01T12:00:00.5Z"}
    batch = data.draw(st.permutations([changed, original, changed]))
    result = record_events(shared_ledger, batch, NOW)
    assert result.new == 0
    assert result.duplicates == 1
    assert result.conflicts == (arrival(changed, POLICY),) * 2
    assert load_facts(shared_ledger) == expected


def test_a_conflict_inside_one_batch_is_reported(ledger: Database) -> None:
    """The first by its time is recorded, in whatever order they are read, since partitions keep none."""
    first, other = (
        terminated("e1", "2024-01-01T00:00:00Z"),
        terminated("e1", "2024-02-01T00:00:00Z"),
    )
    for batch in ([first, other, first], [other, first, first]):
        empty_database(ledger)
        result = record_events(ledger, batch, NOW)
        assert (result.new, result.duplicates) == (1, 1)
        assert result.conflicts == (arrival(other, POLICY),)
        (clock,) = select_rows(ledger, tables.clock)
        assert clock.anchor_at == instant("2024-01-01T00:00:00Z")


def test_of_events_at_one_time_the_first_on_kafka_counts(ledger: Database) -> None:
    """The offset of the original decides."""
    tagged_event = arrival(feedback("e1", "2024-01-01T00:00:00Z"), POLICY)
    first = replace(tagged_event, offset=7, content_hash=b"first")
    second = replace(tagged_event, offset=8, content_hash=b"second")
    result = ledger.run_in_transaction(
        lambda connection: record(connection, [second, first], POLICY, NOW)
    )
    assert result.conflicts == (second,)


def test_the_same_id_of_another_source_is_another_event(ledger: Database) -> None:
    """An identity is source and id."""
    time = "2024-01-01T00:00:00Z"
    signup = event("e1", "customers.customer-signed-up", time, "/crm", customer_id="1")
    other = event("e1", "customers.customer-signed-up", time, "/shop", customer_id="1")
    assert record_events(ledger, [signup, other], NOW).new == 2
    assert len(select_rows(ledger, tables.record)) == 2


def test_ids_derive_from_what_they_identify(ledger: Database) -> None:
    """The values are written down, since a ledger lives for years."""
    record_events(ledger, [feedback("e1", "2024-01-01T00:00:00Z")], NOW)
    (row,) = select_rows(ledger, tables.record)
    assert str(row.event_id) == "abf95636-b0f6-8835-9822-ca8d78f3dab9"
    assert str(row.record_id) == "eee8a8e6-1108-51f3-bb31-9548adc53c65"


def test_the_last_writer_decides_by_time_source_and_id(ledger: Database) -> None:
    """At one instant the greater source decides, then the greater id."""
    time = "2024-01-01T00:00:00Z"
    shop = event("e1", "customers.customer-reinstated", time, "/shop", customer_id="1")
    for recorded in (shop, terminated("e2", time), terminated("e9", "2023-12-31T23:59:59Z")):
        record_events(ledger, [recorded], NOW)
    (clock,) = select_rows(ledger, tables.clock)
    assert (clock.ended, clock.moved_source, clock.moved_id) == (False, "/shop", "e1")
    assert clock.anchor_at is None


def test_the_clock_opens_with_its_earliest_record(ledger: Database) -> None:
    """Neither the first record to arrive nor a clock change opens it."""
    for recorded in (
        signed_up("e1", "2024-05-01T00:00:00Z"),
        signed_up("e2", "2024-03-01T00:00:00Z"),
        signed_up("e3", "2024-04-01T00:00:00Z"),
        terminated("e4", "2023-01-01T00:00:00Z"),
    ):
        record_events(ledger, [recorded], NOW)
    (clock,) = select_rows(ledger, tables.clock)
    assert clock.opened_at == instant("2024-03-01T00:00:00Z")


@pytest.mark.parametrize("parent_first", [True, False])
def test_a_contact_ends_with_its_supplier_in_whatever_order_they_come(
    ledger: Database, parent_first: bool
) -> None:
    """The earlier end counts: the supplier's, or the contact's own."""
    events = [
        engaged("e1", "2024-01-01T00:00:00Z", "1"),
        contact_changed("e2", "2024-03-01T00:00:00Z", "1", "2"),
        supplier_ended("e3", "2024-05-01T00:00:00Z"),
    ]
    for recorded in reversed(events) if parent_first else events:
        record_events(ledger, [recorded], NOW)
    anchors = {(row.clock, row.key): row.anchor_at for row in select_rows(ledger, tables.clock)}
    assert anchors == {
        ("supplier", "1"): instant("2024-05-01T00:00:00Z"),
        ("supplier-contact", "1/1"): instant("2024-03-01T00:00:00Z"),
        ("supplier-contact", "1/2"): instant("2024-05-01T00:00:00Z"),
    }


def test_a_supplier_that_is_engaged_again_opens_its_contacts_again(ledger: Database) -> None:
    """Contacts that have ended themselves stay ended."""
    record_events(ledger, [engaged("e1", "2024-01-01T00:00:00Z", "1")], NOW)
    record_events(ledger, [supplier_ended("e2", "2024-05-01T00:00:00Z")], NOW)
    record_events(ledger, [engaged("e3", "2024-06-01T00:00:00Z", "2")], NOW)
    anchors = {(row.clock, row.key): row.anchor_at for row in select_rows(ledger, tables.clock)}
    assert anchors[("supplier-contact", "1/1")] is None
    assert anchors[("supplier-contact", "1/2")] is None


def test_a_contact_that_is_named_its_own_successor_goes_on(ledger: Database) -> None:
    """A clock that one event ends and starts is open, the safe reading, since P0D erases at once."""
    record_events(ledger, [engaged("e1", "2024-01-01T00:00:00Z", "1")], NOW)
    record_events(ledger, [contact_changed("e2", "2024-03-01T00:00:00Z", "1", "1")], NOW)
    anchors = {
        row.key: row.anchor_at
        for row in select_rows(ledger, tables.clock, clock="supplier-contact")
    }
    assert anchors == {"1/1": None}


def test_a_ticket_is_a_record_for_each_person_in_it(ledger: Database) -> None:
    """The customer's depends on both clocks, since research waits for the consumers too."""
    record_events(ledger, [ticket("e1", "2024-01-01T00:00:00Z", ["8", "9"])], NOW)
    record_events(ledger, [ticket_resolved("e2", "2024-02-01T00:00:00Z")], NOW)
    records = {row.record_id: row.subject for row in select_rows(ledger, tables.record)}
    names = {row.clock_id: row.clock for row in select_rows(ledger, tables.clock)}
    hanging = {
        (records[row.record_id], names[row.clock_id]) for row in select_rows(ledger, tables.hanging)
    }
    assert hanging == {
        ("customer:1", "relationship"),
        ("customer:1", "ticket"),
        ("consumer:8", "ticket"),
        ("consumer:9", "ticket"),
    }


def test_records_after_the_end_and_overdue_records_are_counted(ledger: Database) -> None:
    """No late record reinstates a customer (ruling 10 of the catalogue, 15 of the design)."""
    result = record_events(
        ledger,
        [
            terminated("e1", "2024-01-01T00:00:00Z"),
            signed_up("e2", "2024-02-01T00:00:00Z"),
            signed_up("e3", "2023-12-01T00:00:00Z"),
            feedback("e4", "2020-01-01T00:00:00Z"),
            invoice("e5", "2024-01-01T00:00:00Z"),
        ],
        "2024-03-01T00:00:00Z",
    )
    assert result.new == 5
    assert result.after_end == 1
    assert result.overdue == 1


def test_a_record_under_a_clock_that_was_over_long_ago_is_overdue_on_arrival(
    ledger: Database,
) -> None:
    """It arrives in one batch with the end, after it, and after the scan, and was due before."""
    ended, now = terminated("e1", "2020-01-01T00:00:00Z"), "2024-03-01T00:00:00Z"
    together = record_events(ledger, [ended, signed_up("e2", "2019-01-01T00:00:00Z")], now)
    after = record_events(ledger, [signed_up("e3", "2019-01-01T00:00:00Z")], now)
    claim_all(ledger, now)
    walked = record_events(ledger, [signed_up("e4", "2019-01-01T00:00:00Z")], now)
    assert (together.overdue, after.overdue, walked.overdue) == (1, 1, 1)


def test_bodies_never_reach_the_ledger(ledger: Database) -> None:
    """The ledger has decision fields and business keys only."""
    signup = event(
        "e1",
        "customers.customer-signed-up",
        "2024-01-01T00:00:00Z",
        customer_id="1",
        iban="NL00SECRET",
        name="Secret",
    )
    record_events(ledger, [signup], NOW)
    (row,) = select_rows(ledger, tables.event)
    assert row.deciding == '{"customer_id":"1"}'


NASTY = [
    pytest.param("\x00", id="nul"),
    pytest.param("a\x00b", id="nul-inside"),
    pytest.param("x" * 100_000, id="long"),
    pytest.param(
        "".join(chr(0x4E00 + (n * 7919) % 20000) for n in range(8000)), id="incompressible"
    ),
    pytest.param("é'\"\\%_:/?#[]@!$&()*+,;= \t\r\n", id="punctuation"),
    pytest.param("\U0001f600\u202e\ufeff\uffff", id="odd-characters"),
    pytest.param(" ", id="blank"),
]


@pytest.mark.parametrize("name", NASTY)
def test_an_odd_id_never_stops_the_recorder_nor_the_deleter(ledger: Database, name: str) -> None:
    """An id is refused as untaggable before it is recorded, or works everywhere."""
    good = feedback("good", "2020-01-01T00:00:00Z")
    bad = event(
        "bad", "website.feedback-given", "2020-01-01T00:00:00Z", feedback_id="1", visitor_id=name
    )
    arrivals: list[TaggedEventRow] = [arrival(good, POLICY)]
    try:
        arrivals.append(arrival(bad, POLICY))
    except Exception:  # refused at the door, by tag or by the event itself: just as good
        assert name
    ledger.run_in_transaction(lambda connection: record(connection, arrivals, POLICY, NOW))
    claim_all(ledger, NOW)
    assert list_commands(ledger) == [("website", "erase", "unsent")] * len(arrivals)


@pytest.mark.parametrize("name", NASTY)
def test_an_odd_event_id_never_stops_the_recorder(ledger: Database, name: str) -> None:
    """The same holds for the identity itself."""
    arrivals = [arrival(feedback("good", "2020-01-01T00:00:00Z"), POLICY)]
    try:
        arrivals.append(arrival(feedback(name, "2020-01-01T00:00:00Z"), POLICY))
    except Exception:  # refused at the door
        assert name
    ledger.run_in_transaction(lambda connection: record(connection, arrivals, POLICY, NOW))
    assert len(select_rows(ledger, tables.event)) == len(arrivals)


def test_an_import_of_history_gives_the_same_facts(ledger: Database) -> None:
    """It is held back from the deleter, not from the facts."""
    events = [
        engaged("e1", "2024-01-01T00:00:00Z", "1"),
        supplier_ended("e2", "2024-05-01T00:00:00Z"),
        signed_up("e3", "2024-01-01T00:00:00Z"),
        terminated("e4", "2024-02-01T00:00:00Z"),
        reinstated("e5", "2024-03-01T00:00:00Z"),
    ]
    record_events(ledger, events, NOW)
    expected = load_facts(ledger)
    empty_database(ledger)
    record_events(ledger, events[:3], NOW, backfill="history")
    record_events(ledger, events[3:], NOW)
    assert load_facts(ledger) == expected


def test_recording_an_empty_batch_changes_nothing(ledger: Database) -> None:
    """A poll may return no message."""
    result = record_events(ledger, [], NOW)
    assert (result.new, result.duplicates, result.conflicts) == (0, 0, ())


def test_a_duplicate_at_another_offset_is_a_duplicate(ledger: Database) -> None:
    """The place is not part of an event's identity, and the first place is kept."""
    first = arrival(feedback("e1", "2024-01-01T00:00:00Z"), POLICY)
    second = replace(first, partition=7, offset=99)
    for tagged_event in (first, second):
        ledger.run_in_transaction(
            lambda connection, o=tagged_event: record(connection, [o], POLICY, NOW)  # type: ignore[misc]
        )
    (row,) = select_rows(ledger, tables.event)
    assert (row.partition, row.offset) == (0, 0)
