"""Purging a second time, and reused identities of privacy events: findings of a review."""

from __future__ import annotations

import pytest

from services.storage.database import Database
from tests.contract.event_builders import event
from tests.contract.ledger_life import LedgerLife
from tests.contract.test_purge import ENDED, JOINED, lead


@pytest.fixture
def life(ledger: Database) -> LedgerLife:
    return LedgerLife(ledger=ledger)


def purge_objector(life: LedgerLife) -> None:
    """Purge a prospect `P-9` whose objection was upheld; only the tombstone is left."""
    life.record_events([lead("l1", JOINED)], JOINED)
    objection = {"subject": "prospect:P-9", "purpose": "acquisition", "objection_id": "b1"}
    life.record_events(
        [
            event("o1", "privacy.objection-raised", ENDED, **objection),
            event("o2", "privacy.objection-decided", ENDED, **objection, outcome="upheld"),
        ],
        ENDED,
    )
    for year in range(2010, 2023):
        life.work(f"{year}-12-01T12:00:00Z")
    life.purge("2023-01-15T12:00:00Z")
    assert "P-9" not in life.dump()


def test_a_restored_person_is_purged_again(life: LedgerLife) -> None:
    """The dossiers of privacy events are purged already, and must not keep the person's name."""
    purge_objector(life)
    life.record_events([lead("l2", "2023-02-01T12:00:00Z")], "2023-02-01T12:00:00Z")
    for year in range(2023, 2040):
        life.work(f"{year}-02-01T12:00:00Z")
        life.work(f"{year}-12-01T12:00:00Z")
    life.purge("2040-01-01T12:00:00Z")
    life.seal_evidence("2040-01-01T12:00:00Z")
    assert "P-9" not in life.dump()


def test_other_content_under_a_purged_privacy_events_identity_is_a_conflict(
    life: LedgerLife,
) -> None:
    """It is parked as a conflict, like the event of a record, even if its subject is another."""
    purge_objector(life)
    other = {"subject": "prospect:P-8", "purpose": "acquisition", "objection_id": "b1"}
    at = "2023-02-01T12:00:00Z"
    recorded = life.record_events([event("o1", "privacy.objection-raised", ENDED, **other)], at)
    assert (recorded.new, [conflict.id for conflict in recorded.conflicts]) == (0, ["o1"])


def test_a_reused_identity_does_not_stop_the_recorder(life: LedgerLife) -> None:
    """Events of the first person's subject can still be recorded."""
    purge_objector(life)
    other = {"subject": "prospect:P-8", "purpose": "acquisition", "objection_id": "b1"}
    at = "2023-02-01T12:00:00Z"
    life.record_events([event("o1", "privacy.objection-raised", ENDED, **other)], at)
    assert life.record_events([lead("l2", at)], at).new == 1
