"""Signs the end of the evidence log; a head has the Merkle root of the entries since the head before it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from services.crypto.signing import KeyringSource
from services.evidence import hash_chain, merkle
from services.evidence.export import entry_leaves
from services.evidence.hash_chain import Head, SignedHead
from services.ledger import tables
from services.storage.bulk import insert

HEAD_EVERY: Final = timedelta(seconds=10)
"""How long entries may be without a signed head that covers them."""
MAX_HEAD_AGE: Final = timedelta(hours=1)
"""How often a head is signed though nothing was added: it proves how long the log was at that time."""


def head_is_due(
    connection: Connection, number: int, now: datetime, interval: timedelta = HEAD_EVERY
) -> bool:
    """Return whether a log that ends with entry `number` needs another head at `now`, UTC."""
    last_head = _last_head(connection)
    if last_head is None:
        return True
    wait = interval if number > last_head.number else MAX_HEAD_AGE
    return bool(now - last_head.at >= wait)


def sign_head(
    connection: Connection,
    number: int,
    last_hash: bytes,
    ring: KeyringSource | None,
    now: datetime,
    interval: timedelta = HEAD_EVERY,
) -> SignedHead | None:
    """Sign the end of the chain, which the caller has locked, if a head is due and a key is valid."""
    if ring is None or not head_is_due(connection, number, now, interval):
        return None
    if ring().newest("sig", now) is None:
        return None
    last_head = _last_head(connection)
    since = last_head.number if last_head is not None else 0
    head = Head(
        number=number,
        hash=last_hash,
        at=now,
        since=since,
        root=merkle.root_of(entry_leaves(connection, since, number)),
    )
    signed = hash_chain.sign(head, ring)
    row = {
        "number": number,
        "at": now,
        "head": head.text(),
        "key_id": signed.key_id,
        "x": signed.x,
        "signature": signed.signature,
        "published_at": None,
    }
    insert(connection, tables.evidence_head, [row])
    return signed


def _last_head(connection: Connection) -> Row[Any, Any] | None:
    column = tables.evidence_head.c
    query = select(column.number, column.at).order_by(column.number.desc(), column.at.desc())
    return connection.execute(query.limit(1)).one_or_none()
