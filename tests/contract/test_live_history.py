"""Live events with an old time: those that could erase wait for a person, those that protect do not."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ledger import backfills, tables
from services.ledger.backfills import BackfillNotFound
from services.ledger.recording import RecordingResult, record
from services.storage.database import Database
from tests.contract.deleter_invariants import find_missing, find_too_early
from tests.contract.event_builders import (
    Event,
    arrival,
    engaged,
    event,
    feedback,
    invoice,
    reinstated,
    signed_up,
    supplier_ended,
    terminated,
)
from tests.contract.ledgers import (
    POLICY,
    claim_all,
    empty_database,
    instant,
    list_commands,
    record_events,
    roll_back,
    select_rows,
)
from tests.effort import SLOW, examples
from tests.oracle.strategies import event_sets

JOINED, ENDED, DUE = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z", "2022-05-31T12:00:00Z"
FAR = "2060-01-01T00:00:00Z"
GROUP = "live-history/2022-05-31/any"
STORIES = ("relationship", "helpdesk", "contact", "supplier", "application", "acquisition", "shop")


def record_old(ledger: Database, *events: Event, backfill: str | None = None) -> RecordingResult:
    """Record live events that were tagged as too old."""
    return record_events(ledger, events, DUE, backfill, history=GROUP)


def release(ledger: Database, group: str = GROUP, now: str = FAR) -> None:
    ledger.run_in_transaction(lambda c: backfills.release(c, group, "operator", instant(now)))


def pending_groups(ledger: Database) -> list[tuple[str, int, int]]:
    """Return the groups that wait for a release, with their records and clocks."""
    with ledger.transaction() as connection:
        return [
            (backfill.backfill, backfill.records, backfill.clocks)
            for backfill in backfills.pending_backfills(connection)
        ]


def legal_hold(id: str, time: str) -> Event:
    return event(
        id,
        "privacy.hold-placed",
        time,
        subject="customer:1",
        hold_id="H1",
        ground="legal_claim",
    )


def test_old_records_lead_to_nothing_until_they_are_released(ledger: Database) -> None:
    """After the release they lead to every command."""
    record_old(ledger, feedback("e1", JOINED))
    assert claim_all(ledger, FAR) == []
    assert pending_groups(ledger) == [(GROUP, 1, 0)]
    release(ledger)
    assert len(claim_all(ledger, FAR)) > 0
    assert find_missing(ledger, [feedback("e1", JOINED)], instant(FAR)) == []
    assert pending_groups(ledger) == []


def test_an_old_end_is_held_back(ledger: Database) -> None:
    """Records that depend on it wait, and the end itself is listed."""
    record_events(ledger, [invoice("e1", JOINED)], DUE)
    record_old(ledger, terminated("e2", ENDED))
    assert claim_all(ledger, DUE) == []
    assert pending_groups(ledger) == [(GROUP, 0, 1)]
    release(ledger, now=DUE)
    assert len(claim_all(ledger, DUE)) == 1


def test_an_old_end_of_a_supplier_holds_back_its_contacts(ledger: Database) -> None:
    """The parent's end decides the child's anchor."""
    record_events(ledger, [engaged("e1", JOINED, "1")], JOINED)
    record_old(ledger, supplier_ended("e2", ENDED))
    assert claim_all(ledger, FAR) == []
    release(ledger)
    claim_all(ledger, FAR)
    assert list_commands(ledger) == [("procurement", "erase", "unsent")]


def test_an_old_reinstatement_counts_at_once(ledger: Database) -> None:
    """It starts the clock again, and nothing has to be released."""
    record_events(ledger, [invoice("e1", JOINED), terminated("e2", ENDED)], ENDED)
    record_old(ledger, reinstated("e3", "2021-01-01T12:00:00Z"))
    assert claim_all(ledger, DUE) == []
    assert pending_groups(ledger) == []


def test_an_old_event_that_makes_a_record_and_starts_a_clock_does_both_in_its_own_way(
    ledger: Database,
) -> None:
    """A sign-up opens the relationship again at once, and its own record waits."""
    record_old(ledger, signed_up("e1", JOINED))
    record_events(ledger, [terminated("e2", ENDED)], ENDED)
    assert claim_all(ledger, FAR) == []
    assert pending_groups(ledger) == [(GROUP, 1, 0)]


def test_an_old_hold_counts_at_once(ledger: Database) -> None:
    """The time of its placement does not matter."""
    record_events(ledger, [signed_up("e1", JOINED), terminated("e2", ENDED)], DUE)
    record_old(ledger, legal_hold("e3", JOINED))
    claim_all(ledger, FAR)
    assert [action for _, action, _ in list_commands(ledger) if action == "erase"] == []
    assert pending_groups(ledger) == []


def test_an_old_objection_counts_at_once(ledger: Database) -> None:
    """A person's own decision is never held back; only the record of its dossier waits."""
    lead = event("e1", "acquisition.lead-acquired", "2022-03-01T12:00:00Z", prospect_id="P1")
    lead["data"]["source"] = "fair"
    objection = event(
        "e2",
        "privacy.objection-raised",
        "2022-04-01T12:00:00Z",
        subject="prospect:P1",
        purpose="acquisition",
        objection_id="B1",
    )
    record_events(ledger, [lead], "2022-03-01T12:00:00Z")
    assert claim_all(ledger, DUE) == []
    record_old(ledger, objection)
    claim_all(ledger, DUE)
    assert {system for system, action, _ in list_commands(ledger) if action == "erase"} == {
        "crm",
        "mail",
        "post",
    }
    assert pending_groups(ledger) == [(GROUP, 1, 0)]


def test_old_events_after_a_release_wait_again(ledger: Database) -> None:
    """No event can be added to a group that an operator has already released."""
    record_old(ledger, feedback("e1", JOINED))
    release(ledger)
    record_old(ledger, feedback("e2", JOINED))
    assert pending_groups(ledger) == [(f"{GROUP}/2", 1, 0)]
    release(ledger, f"{GROUP}/2")
    record_old(ledger, feedback("e3", JOINED), feedback("e4", JOINED))
    assert pending_groups(ledger) == [(f"{GROUP}/3", 2, 0)]
    with pytest.raises(BackfillNotFound):
        release(ledger)


def test_a_released_import_does_not_release_later_old_events(ledger: Database) -> None:
    """Naming a released import does not help: the event waits like any old live event."""
    record_events(ledger, [feedback("e1", JOINED)], DUE, backfill="import")
    release(ledger, "import", DUE)
    record_old(ledger, feedback("e2", JOINED), backfill="import")
    assert pending_groups(ledger) == [(GROUP, 1, 0)]


def test_old_events_of_an_unreleased_import_wait_with_it(ledger: Database) -> None:
    """Its own release releases them, and no second group waits."""
    record_old(ledger, feedback("e1", JOINED), legal_hold("e2", JOINED), backfill="import")
    assert pending_groups(ledger) == [("import", 1, 0)]
    release(ledger, "import", DUE)
    assert pending_groups(ledger) == []


def test_the_first_recorded_copy_of_an_event_counts(ledger: Database) -> None:
    """A second copy neither releases nor holds back, and a rolled back batch has no effect."""
    arrivals = [arrival(feedback("e1", JOINED), POLICY, history=GROUP)]
    roll_back(ledger, lambda connection: record(connection, arrivals, POLICY, instant(DUE)))
    assert pending_groups(ledger) == []
    record_old(ledger, feedback("e1", JOINED))
    assert record_events(ledger, [feedback("e1", JOINED)], DUE).duplicates == 1
    assert record_events(ledger, [feedback("e1", JOINED)], DUE, backfill="import").duplicates == 1
    assert record_old(ledger, feedback("e1", JOINED)).duplicates == 1
    assert (GROUP, 1, 0) in pending_groups(ledger)
    assert claim_all(ledger, FAR) == []


def test_a_release_waits_for_what_is_being_recorded(ledger: Database) -> None:
    """A record that came first is released with its group, and none is left behind."""
    if ledger.is_sqlite:
        pytest.skip("writes exclude each other there")
    record_old(ledger, feedback("e1", JOINED))
    arrivals = [arrival(feedback("e2", JOINED), POLICY, history=GROUP)]
    operator = threading.Thread(target=release, args=(ledger,))
    with ledger.transaction() as connection:
        record(connection, arrivals, POLICY, instant(DUE))
        operator.start()
        operator.join(0.5)
        assert operator.is_alive()
    operator.join(20)
    assert pending_groups(ledger) == []
    assert {row.backfill for row in select_rows(ledger, tables.record)} == {None}


@settings(max_examples=examples(60), deadline=None, suppress_health_check=SLOW)
@given(
    events=event_sets(max_events=10, stories=STORIES, duplicates=False),
    old_ones=st.sets(st.integers(0, 9), min_size=1),
)
def test_nothing_is_commanded_that_only_an_old_event_makes_due(
    shared_ledger: Database, events: list[Event], old_ones: set[int]
) -> None:
    """The oracle does not know the old events; after their release nothing is missing."""
    ledger = empty_database(shared_ledger)
    for number, recorded in enumerate(events):
        record_events(ledger, [recorded], DUE, history=GROUP if number in old_ones else None)
    claim_all(ledger, FAR)
    believed = [event for number, event in enumerate(events) if number not in old_ones]
    assert find_too_early(ledger, believed, instant(FAR)) == []
    for group, _, _ in pending_groups(ledger):
        release(ledger, group)
    claim_all(ledger, FAR)
    assert find_missing(ledger, events, instant(FAR)) == []
