"""The running check of the evidence: the deleter verifies the log again and again, a chunk at a time.

Each check reads the end of the chain and the next chunk of the rest, and remembers where the chain ended: a
chain that is shorter or different at the next check was tampered with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from sqlalchemy import Connection, Row, func, select

from schemas.errors import TermijnError
from services.crypto.keyring import Keyring, parse_keyring
from services.evidence.export import export_lines, public_jwk, signed_head
from services.evidence.hash_chain import (
    GENESIS,
    canonical_json,
    entry_hash,
    entry_leaf,
    verify,
)
from services.evidence.merkle import root_of
from services.evidence.verify import EvidenceBroken, SavedHead, VerifiedLog, verify_lines
from services.ledger import tables
from services.storage.database import Database

CHUNK_SIZE = 500
"""Entries that one check reads of the end, and of the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheckResult:
    """The result of one check."""

    broken: str | None
    """What is wrong, and at which entry; None where all that was read is right."""
    sealed_at: datetime | None
    """When the last head was signed, UTC."""


def check_ledger(
    ledger: Database, trusted: Keyring | None, saved_head: SavedHead | None
) -> VerifiedLog:
    """Verify a ledger's whole log, including entries that no signed head covers yet.

    Raises:
        EvidenceBroken: at the first wrong line of the export, or the first wrong entry after it.
        NoSignedHead: no head was signed yet.
    """
    verified = verify_lines(
        (f"{line}\n".encode() for line in export_lines(ledger)), trusted, saved_head
    )
    with ledger.transaction() as connection:
        number = connection.execute(select(tables.evidence_chain.c.number)).scalar_one_or_none()
        behind = max(0, (number or 0) - verified.entries)
        broken = ChainSelfCheck(chunk_size=behind + 1).check_next(connection).broken
    if broken:
        raise EvidenceBroken(verified.lines + 1, verified.entries, broken)
    return verified


class _ChainBroken(Exception):
    pass


@dataclass(slots=True, kw_only=True)
class ChainSelfCheck:
    """Verifies the log from its first to its last entry, and then starts again."""

    chunk_size: int = CHUNK_SIZE
    _checked_until: int = field(default=0, init=False)
    """The last entry that is verified in this pass; a wrong chunk is not passed."""
    _last_hash: tuple[int, bytes] = field(default=(0, GENESIS), init=False)
    """The end of the chain when it was last verified."""

    def check_next(self, connection: Connection) -> SelfCheckResult:
        """Check the end of the chain and the next chunk."""
        newest = self._newest(connection)
        broken = None
        try:
            self._check_chunk(connection)
        except _ChainBroken as cause:
            broken = str(cause)
        return SelfCheckResult(broken=broken, sealed_at=newest)

    def _newest(self, connection: Connection) -> datetime | None:
        column = tables.evidence_head.c
        query = select(column.at).order_by(column.number.desc(), column.at.desc()).limit(1)
        newest_at: datetime | None = connection.execute(query).scalar_one_or_none()
        return newest_at

    def _check_chunk(self, connection: Connection) -> None:
        end = connection.execute(select(tables.evidence_chain)).one_or_none()
        number, last = (end.number, end.hash) if end else (0, GENESIS)
        last_number, hash = self._last_hash
        if number < last_number:
            raise _ChainBroken(
                f"the log ends with entry {number}, and had {last_number} entries before"
            )
        if last_number and self._hash(connection, last_number) != hash:
            raise _ChainBroken(f"entry {last_number} has changed since it was checked")
        column = tables.evidence_head.c.number
        signed = connection.execute(select(func.max(column))).scalar_one()
        if signed is not None and signed > number:
            raise _ChainBroken(
                f"the last entry must be {signed}, which a signed head covers, got {number}"
            )
        self._verify_links(connection, max(0, number - self.chunk_size), number)
        if number and self._hash(connection, number) != last:
            raise _ChainBroken(f"the chain does not end in entry {number}")
        until = min(number, self._checked_until + self.chunk_size)
        self._verify_links(connection, self._checked_until, until)
        self._checked_until = until if until < number else 0
        self._last_hash = (number, last)

    def _hash(self, connection: Connection, number: int) -> bytes | None:
        column = tables.evidence.c
        query = select(column.hash).where(column.number == number)
        entry_hash: bytes | None = connection.execute(query).scalar_one_or_none()
        return entry_hash

    def _verify_links(self, connection: Connection, after: int, until: int) -> None:
        """Check that the entries of a range follow each other, and the heads over them."""
        column = tables.evidence.c
        before = self._hash(connection, after) if after else GENESIS
        query = select(column.number, column.entry, column.hash).order_by(column.number)
        rows = connection.execute(query.where(column.number > after, column.number <= until)).all()
        hashes, leaves = {after: before}, []
        for expected, row in enumerate(rows, start=after + 1):
            if row.number != expected or before is None:
                raise _ChainBroken(f"entry {expected if before else after} is missing")
            if not row.entry.isascii() or entry_hash(before, row.entry) != row.hash:
                raise _ChainBroken(f"entry {expected} was altered")
            before = hashes[expected] = row.hash
            leaves.append(entry_leaf(row.entry))
        if len(rows) < until - after:
            raise _ChainBroken(f"entry {after + len(rows) + 1} is missing")
        number = tables.evidence_head.c.number
        heads = select(tables.evidence_head).where(number > after, number <= until)
        heads = heads.order_by(number, tables.evidence_head.c.at)
        self._verify_heads(connection.execute(heads).all(), hashes, leaves, after)

    def _verify_heads(
        self,
        heads: Sequence[Row[Any]],
        hashes: dict[int, bytes | None],
        leaves: Sequence[bytes],
        after: int,
    ) -> None:
        """Check heads; the Merkle root only of those whose entries have all been read."""
        for row in heads:
            try:
                signed = signed_head(row)
                [key] = parse_keyring(canonical_json(public_jwk(row.key_id, row.x)))
                verify(signed.head, signed.signature, key)
            except (ValueError, TypeError, KeyError, InvalidSignature, TermijnError) as cause:
                raise _ChainBroken(f"the head over entry {row.number} was altered") from cause
            if signed.head.hash != hashes[row.number] or signed.head.text() != row.head:
                raise _ChainBroken(f"the head over entry {row.number} is of another log")
            since = signed.head.since
            if since >= after and signed.head.root != root_of(
                leaves[since - after : row.number - after]
            ):
                raise _ChainBroken(f"the head over entry {row.number} has another Merkle root")
