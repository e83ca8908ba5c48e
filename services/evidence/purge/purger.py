"""Runs the purge of the ledger, in the deleter's process when it has nothing else to do.

It scans without locks. Only where something may be purged it locks out the recorders, checks again, and
deletes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection

from services.crypto.tombstones import TombstoneCipher
from services.deleter.deleter import ROLE
from services.evidence.purge.base import ProofTerm, terms_of
from services.evidence.purge.scan import is_purge_safe, next_pages, purge
from services.ledger import active_policy
from services.ledger.catch_up import CatchUpCheck
from services.policy.model import Policy
from services.storage import pause
from services.storage.database import Database, database_now

_REST = timedelta(hours=1)
"""The pause after a scan of the whole ledger that purged nothing."""


class PurgeObserver(Protocol):
    """Receives what the purge did: metrics and logs."""

    def rows_purged(self, counts: Mapping[str, int]) -> None:
        """That many things of each kind were purged."""


@dataclass(slots=True, kw_only=True)
class _PurgePause:
    until: datetime | None = None
    backoff: bool = True
    """Whether the present scan has purged nothing; one purged thing may free the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purger:
    """Purges one ledger; any number of processes may run it."""

    ledger: Database
    policy: Policy
    tombstone_cipher: TombstoneCipher
    catch_up_check: CatchUpCheck
    observer: PurgeObserver
    page_size: int = 500
    """How many things of each kind one round scans."""
    _pause: _PurgePause = field(default_factory=_PurgePause, init=False)

    def run_once(self) -> int:
        """Scan the next page of each kind, and return how many things were purged.

        Raises:
            PolicyMismatch: another policy has become active.
            TombstoneKeyMismatch: the tombstones were encrypted with another key.
        """
        proof = self.policy.proof
        if proof is None:
            return 0
        with self.ledger.transaction() as connection:
            now = database_now(connection)
            resting = self._pause.until is not None and now < self._pause.until
            terms = terms_of(connection, self.policy, proof, now, self.tombstone_cipher)
            if resting or not _is_allowed(connection, terms):
                return 0
            pages, has_more = next_pages(connection, terms, self.page_size)
        if not has_more:
            self._pause.until = now + _REST if self._pause.backoff else None
            self._pause.backoff = True
        if not pages or self.catch_up_check.lagging_partitions():
            return 0

        def work(connection: Connection) -> Mapping[str, int]:
            active_policy.require_active(connection, self.policy, now)
            if not _is_allowed(connection, terms):  # a pause, or a gap, that came since
                return {}
            latest = terms_of(connection, self.policy, proof, now, self.tombstone_cipher)
            return purge(connection, pages, latest, self.tombstone_cipher)

        counts = self.ledger.run_in_transaction(work)
        if counts:  # else another deleter was faster
            self._pause.backoff = False
            self.observer.rows_purged(counts)
        return sum(counts.values())


def _is_allowed(connection: Connection, terms: ProofTerm) -> bool:
    return pause.pause_state(connection, ROLE) == "running" and is_purge_safe(connection, terms)
