"""A ledger's whole life on the test's own time: recording, commanding, proving and purging."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from services.crypto.pseudonyms import Pseudonymizer
from services.crypto.tombstones import TombstoneCipher
from services.deleter.acknowledgement import Status
from services.deleter.verification import verify_commands
from services.events.incoming_event import build_incoming_event
from services.evidence.purge.base import ProofTerm, terms_of
from services.evidence.purge.scan import is_purge_safe, next_pages, purge
from services.evidence.seal_entries import append_entries
from services.ledger import tables
from services.ledger.recording import RecordingResult, record_events
from services.ledger.tombstones import restore_tombstones
from services.policy.model import Policy, Proof
from services.policy.plans import compile_policy
from services.storage.database import Database
from tests.contract.event_builders import Event, arrival
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    instant,
    select_rows,
    send_due,
)

MONTH_OF_PROOF = Proof(term="P1M", term_from="derived", source="a test", rationale="short")
PSEUDONYMIZER = Pseudonymizer(bytes(32))
SHORT_PROOF_POLICY = replace(POLICY, proof=MONTH_OF_PROOF)


@dataclass(slots=True, kw_only=True)
class LedgerLife:
    """One ledger, the bus of its commands, and systems that carry out and prove everything at once."""

    ledger: Database
    policy: Policy = SHORT_PROOF_POLICY
    tombstone_cipher: TombstoneCipher = field(default_factory=lambda: TombstoneCipher(bytes(32)))
    bus: FakeBus = field(default_factory=FakeBus)

    def record_events(self, events: Iterable[Event], now: datetime | str) -> RecordingResult:
        """Record one batch, as the recorder does."""
        incoming = [
            build_incoming_event(arrival(event, POLICY), compile_policy(POLICY)) for event in events
        ]
        at = instant(now) if isinstance(now, str) else now

        def complete_all(connection: Any) -> RecordingResult:
            recalled = restore_tombstones(connection, incoming, self.tombstone_cipher, POLICY)
            return recalled.combined_with(record_events(connection, recalled.events, POLICY, at))

        return self.ledger.run_in_transaction(complete_all)

    def work(self, now: datetime | str, without: Collection[UUID] = ()) -> None:
        """Sweep, send, and let every system carry out and prove it, until nothing is left to do.

        The commands `without` acknowledgement stay as they are.
        """
        at = instant(now) if isinstance(now, str) else now
        while True:
            claim_all(self.ledger, at)
            checks = self.ledger.run_in_transaction(
                lambda c: verify_commands(c, POLICY, at, limit=999)
            )
            if not send_due(self.ledger, self.bus, at) and not checks.handled:
                self.seal_evidence(at)
                return
            for row in select_rows(self.ledger, tables.command, state="sent"):
                if row.command_id in without:
                    continue
                counts = {"rows": 0 if row.action == "verify" else 1}
                status: Status = "recalled" if row.action == "recall" else "done"
                acknowledge(self.ledger, row.command_id, status, at, counts=counts)

    def purge(self, now: datetime | str, page: int = 3) -> dict[str, int]:
        """Purge everything that may be purged by now, a page at a time; return the counts by kind."""
        at = instant(now) if isinstance(now, str) else now
        assert self.policy.proof
        with self.ledger.transaction() as connection:
            terms = terms_of(connection, self.policy, self.policy.proof, at, self.tombstone_cipher)
        counts: Counter[str] = Counter()
        while removed := self.purge_pages(terms, page):
            counts += removed
        return dict(counts)

    def purge_pages(self, terms: ProofTerm, page: int) -> Counter[str]:
        """Go through the whole ledger once."""
        counts: Counter[str] = Counter()
        has_more = True
        while has_more:
            with self.ledger.transaction() as connection:
                assert is_purge_safe(connection, terms)
            pages, has_more = self.ledger.run_in_transaction(lambda c: next_pages(c, terms, page))
            if pages:
                purge_pages = partial(purge, pages=pages, terms=terms, cipher=self.tombstone_cipher)
                counts.update(self.ledger.run_in_transaction(purge_pages))
        return counts

    def seal_evidence(self, now: datetime | str) -> None:
        """Append all queued entries to the evidence."""
        at = instant(now) if isinstance(now, str) else now
        with self.ledger.transaction() as connection:
            append_entries(connection, PSEUDONYMIZER, None, at)

    def dump(self) -> str:
        """Return everything that the ledger contains, as text."""
        lines: list[str] = []
        with self.ledger.transaction() as connection:
            for table in tables.metadata.sorted_tables:
                lines += [repr(tuple(row)) for row in connection.execute(table.select())]
        return "\n".join(lines)
