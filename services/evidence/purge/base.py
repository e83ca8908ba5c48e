"""The base of the purge: one kind of thing in the ledger, scanned a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import Column, Connection, select

from services.crypto.tombstones import TombstoneCipher
from services.ledger import blind_spots
from services.ledger.blind_spots import NO_BLIND_SPOTS, BlindSpots
from services.policy.calendar import latest_erasure
from services.policy.model import Policy, Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofTerm:
    """The policy and the instant (UTC) that decide whether something may be purged."""

    policy: Policy
    proof: Proof
    now: datetime
    parked: BlindSpots = NO_BLIND_SPOTS
    """Parked events that could forbid an erasure: what they may be about is not purged."""

    def is_over(self, since: datetime) -> bool:
        """Return whether the term of proof of what was settled at an instant is over."""
        return latest_erasure(since, self.proof.period, self.policy.controller.zone) <= self.now


def terms_of(
    connection: Connection, policy: Policy, proof: Proof, now: datetime, cipher: TombstoneCipher
) -> ProofTerm:
    """Return the terms at this instant, with the parked events."""
    parked = blind_spots.load_blind_spots(connection, policy, cipher)
    return ProofTerm(policy=policy, proof=proof, now=now, parked=parked)


_START_KEY: Final = UUID(int=0)


def next_ids(
    connection: Connection, column: Column[UUID], after: str | None, limit: int
) -> Sequence[str]:
    """Return the next ids of a table's column, in order, after the one that was read last."""
    query = select(column).where(column > (UUID(after) if after else _START_KEY))
    ids = connection.execute(query.order_by(column).limit(limit)).scalars()
    return [str(key) for key in ids]


class PurgeTarget(Protocol):
    """One kind of rows that are purged, such as events, scanned in the order of their keys (texts)."""

    name: str

    def next_keys(self, connection: Connection, after: str | None, limit: int) -> Sequence[str]:
        """Return the next keys."""

    def eligible(
        self, connection: Connection, keys: Sequence[str], terms: ProofTerm
    ) -> Sequence[Any]:
        """Return those of the keys that may be purged now, as `purge` takes them."""

    def purge(
        self,
        connection: Connection,
        things: Sequence[Any],
        terms: ProofTerm,
        cipher: TombstoneCipher,
    ) -> None:
        """Purge them; the caller has locked out recorders."""
