"""Imports of history: held back until released, and then nothing of them is lost."""

from __future__ import annotations

from services.ledger import backfills, tables
from services.storage.database import Database
from tests.contract.arrivals import (
    engaged,
    feedback,
    invoice,
    reinstated,
    signed_up,
    supplier_ended,
    terminated,
)
from tests.contract.ledgers import (
    Bus,
    answer,
    commands,
    emptied,
    facts,
    instant,
    post,
    rows,
    sweep,
    take,
)
from tests.contract.promises import missing

JOINED, ENDED, DUE = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z", "2022-05-31T12:00:00Z"
FAR = "2060-01-01T00:00:00Z"


def release(ledger: Database, now: str = FAR) -> None:
    ledger.run_in_transaction(lambda c: backfills.release(c, "history", "operator", instant(now)))


def test_nothing_of_an_import_is_commanded_before_its_release(ledger: Database) -> None:
    """Everything of the import is commanded after its release."""
    events = [feedback("e1", JOINED), signed_up("e2", JOINED), terminated("e3", ENDED)]
    take(ledger, events, DUE, backfill="history")
    assert sweep(ledger, FAR) == []
    release(ledger)
    sweep(ledger, FAR)
    assert missing(ledger, events, instant(FAR)) == []


def test_an_imported_end_holds_back_what_lives_under_it(ledger: Database) -> None:
    """The customer's live records wait for the release of the end that decides."""
    take(ledger, [invoice("e1", JOINED)], DUE)
    take(ledger, [terminated("e2", ENDED)], DUE, backfill="history")
    assert sweep(ledger, DUE) == []
    release(ledger, DUE)
    assert len(sweep(ledger, DUE)) == 1


def test_an_imported_reinstatement_counts_at_once(ledger: Database) -> None:
    """What stops an erasure is never held back."""
    take(ledger, [invoice("e1", JOINED), terminated("e2", ENDED)], ENDED)
    take(ledger, [reinstated("e3", "2021-01-01T12:00:00Z")], ENDED, backfill="history")
    assert sweep(ledger, DUE) == []


def test_what_arrives_live_while_an_import_decides_is_not_lost(ledger: Database) -> None:
    """The same end comes live first and by the import again, under another id."""
    events = [signed_up("e1", JOINED), terminated("e2", ENDED)]
    take(ledger, events, ENDED)
    sweep(ledger, DUE)
    take(ledger, [terminated("e3", ENDED)], DUE, backfill="history")
    late = signed_up("e4", JOINED)
    take(ledger, [late], DUE)
    sweep(ledger, DUE)
    release(ledger, DUE)
    sweep(ledger, FAR)
    assert missing(ledger, [*events, terminated("e3", ENDED), late], instant(FAR)) == []


def test_a_live_end_at_the_instant_of_an_imported_one_is_looked_at_anew(ledger: Database) -> None:
    """What was looked at while the import held the clock back waits for no release any more."""
    events = [signed_up("e1", JOINED), terminated("e2", ENDED)]
    take(ledger, events, DUE)
    sweep(ledger, DUE)
    take(ledger, [terminated("e3", ENDED)], DUE, backfill="history")
    late = signed_up("e4", JOINED)
    take(ledger, [late], DUE)
    post(ledger, Bus(), DUE)
    post(ledger, Bus(), DUE)
    for recall in rows(ledger, tables.command, action="recall"):
        answer(ledger, recall.command_id, "recalled", DUE)
    assert sweep(ledger, DUE) == []
    assert {state for _, _, state in commands(ledger, action="erase")} == {"recalled"}
    take(ledger, [terminated("e5", ENDED)], DUE)
    sweep(ledger, FAR)
    assert missing(ledger, [*events, late, terminated("e5", ENDED)], instant(FAR)) == []


def test_an_imported_end_of_a_supplier_holds_back_its_contacts(ledger: Database) -> None:
    """The parent's end decides the child's anchor."""
    take(ledger, [engaged("e1", JOINED, "1")], JOINED)
    take(ledger, [supplier_ended("e2", ENDED)], ENDED, backfill="history")
    assert sweep(ledger, FAR) == []
    release(ledger)
    sweep(ledger, FAR)
    assert commands(ledger) == [("procurement", "erase", "unsent")]


def test_a_released_import_is_live(ledger: Database) -> None:
    """What still comes of it is acted upon like anything else."""
    take(ledger, [feedback("e1", JOINED)], DUE, backfill="history")
    release(ledger, DUE)
    take(ledger, [feedback("e2", JOINED)], DUE, backfill="history")
    sweep(ledger, DUE)
    assert len(rows(ledger, tables.member, live=True)) == 2


def test_an_import_changes_no_fact(ledger: Database) -> None:
    """Neither the import nor its release changes a fact."""
    events = [signed_up("e1", JOINED), terminated("e2", ENDED), engaged("e3", JOINED)]
    take(ledger, events, DUE)
    expected = facts(ledger)
    emptied(ledger)
    take(ledger, events, DUE, backfill="history")
    assert facts(ledger) == expected
    release(ledger, DUE)
    assert facts(ledger) == expected
    assert {row.backfill for row in rows(ledger, tables.record)} == {None}
