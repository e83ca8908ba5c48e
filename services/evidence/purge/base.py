"""What a sweep is: one kind of thing in the ledger, looked through a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection

from services.crypto.tombstones import TombstoneCipher
from services.ledger import blind_spots
from services.ledger.blind_spots import NO_BLIND_SPOTS, BlindSpots
from services.policy.calendar import latest_erasure
from services.policy.model import Policy, Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofTerm:
    """What decides whether something may be forgotten: the policy, and the instant, UTC."""

    policy: Policy
    proof: Proof
    now: datetime
    parked: BlindSpots = NO_BLIND_SPOTS
    """What is parked and could forbid an erasure: who and what it may be about is remembered."""

    def is_over(self, since: datetime) -> bool:
        """Whether the proof of what was settled at an instant need not be kept by name any more."""
        return latest_erasure(since, self.proof.period, self.policy.controller.zone) <= self.now


def terms_of(
    connection: Connection, policy: Policy, proof: Proof, now: datetime, remains: TombstoneCipher
) -> ProofTerm:
    """The terms as they are now, with what is parked."""
    parked = blind_spots.load_blind_spots(connection, policy, remains)
    return ProofTerm(policy=policy, proof=proof, now=now, parked=parked)


class PurgeTarget(Protocol):
    """One kind of thing. Keys are texts, in whose order it is looked through."""

    name: str

    def next_keys(self, connection: Connection, after: str | None, limit: int) -> Sequence[str]:
        """The next keys."""

    def eligible(
        self, connection: Connection, keys: Sequence[str], terms: ProofTerm
    ) -> Sequence[Any]:
        """Those of them that may be forgotten now, as `forget` takes them."""

    def purge(
        self,
        connection: Connection,
        things: Sequence[Any],
        terms: ProofTerm,
        remains: TombstoneCipher,
    ) -> None:
        """Forget them; whoever calls has made sure that nothing is recorded meanwhile."""
