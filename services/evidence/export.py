"""Exports the evidence log as lines of JSON, which anyone can verify without a database.

The first line has the number of the last entry, then come the public keys, then the entries in order, each
signed head right after the entry that it was signed over. An export ends with a head: later entries are in
the next export.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select

from schemas.errors import TermijnError
from services.crypto.base64_text import encode_base64url
from services.evidence.hash_chain import Head, SignedHead, canonical_json, entry_leaf
from services.ledger import tables
from services.storage.database import Database

FORMAT = 1
_CHUNK = 5_000


class NoSignedHead(TermijnError):
    """The log has no signed head yet, so that nothing would prove it; nothing was written.

    The operator starts the deleter with a key that is valid now (`termijn keys list`); it signs within
    seconds of the first entry.
    """

    def __init__(self) -> None:
        super().__init__("the log has no signed head yet; a running deleter signs one")


def latest_head(connection: Connection) -> SignedHead:
    """Return the last signed head.

    Raises:
        NoSignedHead: no head was signed yet.
    """
    column = tables.evidence_head.c
    query = select(tables.evidence_head).order_by(column.number.desc(), column.at.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NoSignedHead
    return signed_head(row)


def signed_head(row: Row[Any]) -> SignedHead:
    """Return the head of a row. The row may have been tampered with: the caller verifies it."""
    head_fields = json.loads(row.head)
    return SignedHead(
        head=Head(
            number=row.number,
            hash=bytes.fromhex(head_fields["hash"]),
            at=row.at,
            since=head_fields["since"],
            root=bytes.fromhex(head_fields["root"]),
        ),
        key_id=row.key_id,
        x=row.x,
        signature=row.signature,
    )


def export_lines(ledger: Database) -> Iterator[str]:
    """Yield the lines of the log up to its last signed head, without line ends.

    Entries never change, so no transaction is kept open meanwhile.

    Raises:
        NoSignedHead: no head was signed yet.
    """
    column = tables.evidence_head.c
    with ledger.transaction() as connection:
        last_number = latest_head(connection).head.number
        keys = select(column.key_id, column.x).where(column.number <= last_number).distinct()
        key_rows = connection.execute(keys.order_by(column.key_id, column.x)).all()
    yield canonical_json({"evidence": FORMAT, "last": last_number})
    for key in key_rows:
        yield canonical_json({"key": public_jwk(key.key_id, key.x)})
    heads = _heads(ledger, last_number)
    head = next(heads, None)
    for row in _entries(ledger, last_number):
        yield f'{{"entry":{row.entry},"hash":"{row.hash.hex()}"}}'
        while head is not None and head.number == row.number:
            yield _head_line(head)
            head = next(heads, None)


def public_jwk(key_id: str, x: str) -> dict[str, str]:
    """Return the public key of a head as an export has it."""
    return {"crv": "Ed25519", "kid": key_id, "kty": "OKP", "use": "sig", "x": x}


def entry_leaves(connection: Connection, after: int, until: int) -> Iterator[bytes]:
    """Yield the Merkle leaves of the entries after one number up to and including another."""
    column = tables.evidence.c
    query = select(column.number, column.entry).order_by(column.number).limit(_CHUNK)
    query = query.where(column.number <= until)
    while rows := connection.execute(query.where(column.number > after)).all():
        yield from (entry_leaf(row.entry) for row in rows)
        after = rows[-1].number


def _head_line(row: Row[Any]) -> str:
    """Return the line of a head as it is stored, even if it was tampered with: the reader verifies it."""
    signature = canonical_json({"key_id": row.key_id, "signature": encode_base64url(row.signature)})
    return f'{{"head":{row.head},{signature[1:]}'


def _entries(ledger: Database, last_number: int) -> Iterator[Row[Any]]:
    column = tables.evidence.c
    query = select(tables.evidence).order_by(column.number).limit(_CHUNK)
    after = 0
    while after < last_number:
        with ledger.transaction() as connection:
            page = query.where(column.number > after, column.number <= last_number)
            rows = connection.execute(page).all()
        if not rows:
            return
        yield from rows
        after = rows[-1].number


def _heads(ledger: Database, last_number: int) -> Iterator[Row[Any]]:
    column = tables.evidence_head.c
    query = select(tables.evidence_head).order_by(column.number, column.at).limit(_CHUNK)
    query = query.where(column.number <= last_number)
    page = query
    while True:
        with ledger.transaction() as connection:
            rows = connection.execute(page).all()
        if not rows:
            return
        yield from rows
        number, at = rows[-1].number, rows[-1].at
        page = query.where(
            or_(column.number > number, and_(column.number == number, column.at > at))
        )
