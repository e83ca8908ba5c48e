"""Appends to the evidence log: what the ledger's transactions have queued becomes entries, once each.

It locks the one row that has the end of the chain, takes what is committed by then, and moves it in one
transaction. What commits later gets a later number, whatever its own order: nothing is skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select, update

from schemas.cloudevents import format_rfc3339
from schemas.errors import TermijnError
from services.crypto.pseudonyms import Kind, Pseudonymizer
from services.crypto.signing import KeyringSource
from services.evidence import hash_chain
from services.evidence.hash_chain import GENESIS, SignedHead
from services.evidence.sealed_messages import SealedMessage, seal_messages, unsealed_sizes
from services.evidence.signed_heads import HEAD_EVERY, head_is_due, sign_head
from services.ledger import tables
from services.ledger.item_states import fill_up
from services.storage.bulk import delete_in, insert, insert_or_ignore

MAX_ENTRIES = 5_000
"""Entries that one transaction appends."""
_MAX_LEAVES = 50_000
"""Commands of new messages after which a transaction appends no further entry."""
_CHAIN = 1
_CLEAR = frozenset(
    (
        *("action", "answer", "answered_at", "answered_from", "article", "attempt", "commands"),
        *("confirmed", "digest", "done", "due_at", "erase_by", "kept", "not_before", "outcome"),
        *("pending", "policy", "policy_version", "purposes", "read_again", "reason", "records"),
        *("rules", "state", "status", "system", "version", "written_later", "informed", "late"),
        "recovered",
    )
)
"""Fields with values of our own that name no person; all others are in the log as keyed hashes only."""
_KINDS: Mapping[str, Kind] = {"subject": "subject", "request": "request"}
_SAFE_TARGETS = frozenset(
    {"pause", "drain", "resume", "gaps accept", "policy activate", "commands resend"}
)
"""Actions of operators whose target is a role, a system, a topic or a policy, never a person."""
_PLAIN = re.compile(r"[a-z][a-z_]{0,39}")
"""The form of a table's name, which most ids do not have."""


class PseudonymKeyMismatch(TermijnError):
    """The references in the log were made with another key than the configured one; nothing was written.

    The operator puts the right `evidence.key` beside the keys of every deleter, and where certificates are
    made. Where it is lost, or was destroyed on purpose, `termijn evidence rekey` continues the log with
    another.
    """

    def __init__(self, expected: str, configured: str) -> None:
        super().__init__(
            f"evidence.key: the log needs the key {expected}, got {configured};"
            " put that evidence.key back, or run `termijn evidence rekey`"
        )
        self.expected = expected
        self.configured = configured


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendResult:
    """The result of one attempt to append."""

    entries: int
    head: SignedHead | None
    """The head that was signed, or None if none was due."""


NOTHING_APPENDED = AppendResult(entries=0, head=None)
"""The result where another process holds the end of the chain."""


def append_entries(
    connection: Connection,
    pseudonymizer: Pseudonymizer,
    ring: KeyringSource | None,
    now: datetime,
    *,
    limit: int = MAX_ENTRIES,
    head_every: timedelta = HEAD_EVERY,
) -> AppendResult:
    """Append at most `limit` queued entries; `now` is UTC, by the database's clock.

    The first entry of a log names the key of its references, so no log is empty after the first call.
    Without a `ring`, or a key in it that is valid now, entries are appended and no head is signed.

    Raises:
        PseudonymKeyMismatch: the log's references have another key.
    """
    chain = connection.execute(select(tables.evidence_chain)).one_or_none()
    _check(chain, pseudonymizer)
    if chain is not None and not _has_work(connection, chain.number, now, head_every):
        return NOTHING_APPENDED
    end = _lock_chain_end(connection)
    if end is None:
        return NOTHING_APPENDED
    _check(end, pseudonymizer)
    waiting = _next_entries(connection, limit)
    number, last_hash = end.number, end.hash
    rows = []
    for entry in _entries(connection, waiting, pseudonymizer, end.key_id, now):
        number += 1
        text = hash_chain.canonical_json({**entry.fields, "n": number})
        last_hash = hash_chain.entry_hash(last_hash, text)
        rows.append(
            {"number": number, "entry": text, "hash": last_hash, "message_id": entry.message_id}
        )
    if rows:
        insert(connection, tables.evidence, rows)
        pending_id = tables.evidence_pending.c.pending_id
        ids = [row.pending_id for row in waiting]
        delete_in(connection, tables.evidence_pending, pending_id, ids)
        connection.execute(
            update(tables.evidence_chain).values(
                number=number, hash=last_hash, key_id=pseudonymizer.key_id
            )
        )
    head = sign_head(connection, number, last_hash, ring, now, head_every)
    return AppendResult(entries=len(rows), head=head)


def check_pseudonym_key(connection: Connection, pseudonymizer: Pseudonymizer) -> None:
    """Check that the references in the log are those of this key.

    Raises:
        PseudonymKeyMismatch: they have another key.
    """
    _check(connection.execute(select(tables.evidence_chain)).one_or_none(), pseudonymizer)


def rekey(connection: Connection) -> None:
    """Let the log continue with the key of the next process that appends; an entry records the change."""
    connection.execute(update(tables.evidence_chain).values(key_id=None))


def _check(end: Row[Any] | None, pseudonymizer: Pseudonymizer) -> None:
    if end is not None and end.key_id not in (None, pseudonymizer.key_id):
        raise PseudonymKeyMismatch(end.key_id, pseudonymizer.key_id)


def _has_work(connection: Connection, number: int, now: datetime, head_every: timedelta) -> bool:
    """Return whether there is anything to append or sign, so that an idle deleter writes nothing."""
    waiting = select(tables.evidence_pending.c.pending_id).limit(1)
    if connection.execute(waiting).first() is not None:
        return True
    return head_is_due(connection, number, now, head_every)


def _lock_chain_end(connection: Connection) -> Row[Any] | None:
    """Lock and return the end of the chain; None where another process has locked it."""
    insert_or_ignore(
        connection,
        tables.evidence_chain,
        [{"chain": _CHAIN, "number": 0, "hash": GENESIS, "key_id": None}],
    )
    query = select(tables.evidence_chain).with_for_update(skip_locked=True)
    return connection.execute(query).one_or_none()


class _NewEntry(NamedTuple):
    """An entry without its number, and the message that it is about."""

    fields: Mapping[str, Any]
    message_id: int | None = None


def _next_entries(connection: Connection, limit: int) -> Sequence[Row[Any]]:
    """Return the queued entries to append, at most so many, and not too many commands of new messages."""
    column = tables.evidence_pending.c
    query = select(tables.evidence_pending).order_by(column.pending_id).limit(limit)
    waiting = connection.execute(query).all()
    messages = {row.message_id for row in waiting if row.message_id is not None}
    sizes = dict(unsealed_sizes(connection, messages))
    leaves = 0
    for count, row in enumerate(waiting, start=1):
        leaves += sizes.pop(row.message_id, 0)
        if leaves >= _MAX_LEAVES:
            return waiting[:count]
    return waiting


def _entries(
    connection: Connection,
    waiting: Sequence[Row[Any]],
    pseudonymizer: Pseudonymizer,
    key_id: str | None,
    now: datetime,
) -> Iterator[_NewEntry]:
    if key_id is None:
        key = {"at": format_rfc3339(now), "kind": "key", "key": pseudonymizer.key_id}
        yield _NewEntry(key)
    message_ids = {row.message_id for row in waiting if row.message_id is not None}
    messages = seal_messages(connection, message_ids, pseudonymizer)
    for row in waiting:
        body = json.loads(row.body)
        fields = {
            name: value
            if value is None or name in _CLEAR
            else _pseudonymize(name, value, pseudonymizer)
            for name, value in body.items()
        }
        if row.kind == "operator" and body["action"] in _SAFE_TARGETS:
            fields["target"] = body["target"]
        if row.message_id is not None:
            fields |= _message_fields(messages[row.message_id], row.states)
        fields |= {"at": format_rfc3339(row.at), "kind": row.kind}
        yield _NewEntry(fields, row.message_id)


def _message_fields(message: SealedMessage, states: str) -> dict[str, Any]:
    return {
        "system": message.system,
        "action": message.action,
        "root": message.root.hex(),
        "items": message.items,
        "states": fill_up(states, message.items),
    }


def _pseudonymize(name: str, value: Any, pseudonymizer: Pseudonymizer) -> Any:
    """Return the reference that replaces a value that may identify a person or was written by hand."""
    if name in ("counts", "found"):
        return _sum_counts(value)
    return pseudonymizer.pseudonym(
        _KINDS.get(name, "text"), value if type(value) is str else json.dumps(value)
    ).hex()


def _sum_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Return rows by table; counts under a name that does not look like a table's are summed."""
    totals: dict[str, int] = {}
    for name, rows in counts.items():
        counted_as = name if _PLAIN.fullmatch(name) else "other"
        totals[counted_as] = totals.get(counted_as, 0) + rows
    return totals
