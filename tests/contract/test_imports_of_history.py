"""Imports of history: held back until they are released, after which no record is missing."""

from __future__ import annotations

from services.ledger import backfills, tables
from services.storage.database import Database
from tests.contract.deleter_invariants import find_missing
from tests.contract.event_builders import (
    engaged,
    feedback,
    invoice,
    reinstated,
    signed_up,
    supplier_ended,
    terminated,
)
from tests.contract.ledgers import (
    FakeBus,
    acknowledge,
    claim_all,
    empty_database,
    instant,
    list_commands,
    load_facts,
    record_events,
    select_rows,
    send_due,
)

JOINED, ENDED, DUE = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z", "2022-05-31T12:00:00Z"
FAR = "2060-01-01T00:00:00Z"


def release(ledger: Database, now: str = FAR) -> None:
    ledger.run_in_transaction(lambda c: backfills.release(c, "history", "operator", instant(now)))


def test_nothing_of_an_import_is_commanded_before_its_release(ledger: Database) -> None:
    """Everything of the import is commanded after its release."""
    events = [feedback("e1", JOINED), signed_up("e2", JOINED), terminated("e3", ENDED)]
    record_events(ledger, events, DUE, backfill="history")
    assert claim_all(ledger, FAR) == []
    release(ledger)
    claim_all(ledger, FAR)
    assert find_missing(ledger, events, instant(FAR)) == []


def test_an_imported_end_holds_back_the_records_that_depend_on_it(ledger: Database) -> None:
    """The customer's live records wait for the release of the end that decides."""
    record_events(ledger, [invoice("e1", JOINED)], DUE)
    record_events(ledger, [terminated("e2", ENDED)], DUE, backfill="history")
    assert claim_all(ledger, DUE) == []
    release(ledger, DUE)
    assert len(claim_all(ledger, DUE)) == 1


def test_an_imported_reinstatement_counts_at_once(ledger: Database) -> None:
    """What stops an erasure is never held back."""
    record_events(ledger, [invoice("e1", JOINED), terminated("e2", ENDED)], ENDED)
    record_events(ledger, [reinstated("e3", "2021-01-01T12:00:00Z")], ENDED, backfill="history")
    assert claim_all(ledger, DUE) == []


def test_what_arrives_live_while_an_import_decides_is_not_lost(ledger: Database) -> None:
    """The same end arrives live first and by the import later, under another id."""
    events = [signed_up("e1", JOINED), terminated("e2", ENDED)]
    record_events(ledger, events, ENDED)
    claim_all(ledger, DUE)
    record_events(ledger, [terminated("e3", ENDED)], DUE, backfill="history")
    late = signed_up("e4", JOINED)
    record_events(ledger, [late], DUE)
    claim_all(ledger, DUE)
    release(ledger, DUE)
    claim_all(ledger, FAR)
    assert find_missing(ledger, [*events, terminated("e3", ENDED), late], instant(FAR)) == []


def test_a_live_end_at_the_time_of_an_imported_one_causes_a_rescan(ledger: Database) -> None:
    """Records scanned while the import held the clock back do not wait for its release any longer."""
    events = [signed_up("e1", JOINED), terminated("e2", ENDED)]
    record_events(ledger, events, DUE)
    claim_all(ledger, DUE)
    record_events(ledger, [terminated("e3", ENDED)], DUE, backfill="history")
    late = signed_up("e4", JOINED)
    record_events(ledger, [late], DUE)
    send_due(ledger, FakeBus(), DUE)
    send_due(ledger, FakeBus(), DUE)
    for recall in select_rows(ledger, tables.command, action="recall"):
        acknowledge(ledger, recall.command_id, "recalled", DUE)
    assert claim_all(ledger, DUE) == []
    assert {state for _, _, state in list_commands(ledger, action="erase")} == {"recalled"}
    record_events(ledger, [terminated("e5", ENDED)], DUE)
    claim_all(ledger, FAR)
    assert find_missing(ledger, [*events, late, terminated("e5", ENDED)], instant(FAR)) == []


def test_an_imported_end_of_a_supplier_holds_back_its_contacts(ledger: Database) -> None:
    """The parent's end decides the child's anchor."""
    record_events(ledger, [engaged("e1", JOINED, "1")], JOINED)
    record_events(ledger, [supplier_ended("e2", ENDED)], ENDED, backfill="history")
    assert claim_all(ledger, FAR) == []
    release(ledger)
    claim_all(ledger, FAR)
    assert list_commands(ledger) == [("procurement", "erase", "unsent")]


def test_a_released_import_is_live(ledger: Database) -> None:
    """Its later events are processed like live ones."""
    record_events(ledger, [feedback("e1", JOINED)], DUE, backfill="history")
    release(ledger, DUE)
    record_events(ledger, [feedback("e2", JOINED)], DUE, backfill="history")
    claim_all(ledger, DUE)
    assert len(select_rows(ledger, tables.member, live=True)) == 2


def test_an_import_changes_no_fact(ledger: Database) -> None:
    """Neither the import nor its release changes a fact."""
    events = [signed_up("e1", JOINED), terminated("e2", ENDED), engaged("e3", JOINED)]
    record_events(ledger, events, DUE)
    expected = load_facts(ledger)
    empty_database(ledger)
    record_events(ledger, events, DUE, backfill="history")
    assert load_facts(ledger) == expected
    release(ledger, DUE)
    assert load_facts(ledger) == expected
    assert {row.backfill for row in select_rows(ledger, tables.record)} == {None}
