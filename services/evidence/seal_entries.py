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
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, update

from schemas.cloudevents import format_rfc3339
from schemas.errors import TermijnError
from services.crypto.pseudonyms import Kind, Pseudonymizer
from services.crypto.signing import KeyringSource, NoSigningKey
from services.evidence import hash_chain
from services.evidence.hash_chain import GENESIS, Head, SignedHead
from services.ledger import tables
from services.policy.reasons import ARTICLES
from services.storage.bulk import delete_in, insert, insert_or_ignore, select_in

MAX_ENTRIES = 5_000
"""Entries that one transaction appends."""
HEAD_EVERY = timedelta(seconds=10)
"""How long entries may be without a signed head that covers them."""
MAX_HEAD_AGE = timedelta(hours=1)
"""How often a head is signed though nothing was added: it proves how long the log was at that time."""
_CHAIN = 1
_CLEAR = frozenset(
    (
        *("action", "answer", "answered_at", "article", "attempt", "digest", "done", "due_at"),
        *("epoch", "erase_by", "kept", "not_before", "outcome", "pending", "policy"),
        *(
            "policy_version",
            "purposes",
            "read_again",
            "reason",
            "records",
            "rules",
            "seq",
            "state",
            "status",
        ),
        *("system", "version", "written_later"),
    )
)
"""Fields with values of our own that name no person; all others are in the log as keyed hashes only."""
_KINDS: Mapping[str, Kind] = {"subject": "subject", "request": "request", "supersedes": "command"}
_SAFE_TARGETS = frozenset(
    {"pause", "drain", "resume", "gaps accept", "policy activate", "commands resend"}
)
"""Actions of operators whose target is a role, a system, a topic or a policy, never a person."""
_PLAIN = re.compile(r"[a-z][a-z_]{0,39}")
"""The form of a table's name, which most ids do not have."""
_DECISION = tuple(
    tables.command.c[name]
    for name in (
        *("command_id", "system", "subject", "action", "rules", "purposes", "reason", "epoch"),
        *("seq", "due_at", "not_before", "erase_by", "policy_version", "supersedes", "request"),
    )
)


class PseudonymKeyMismatch(TermijnError):
    """The references in the log were made with another key than the configured one; nothing was appended.

    The operator puts the right `evidence.key` beside the keys of every deleter. Where it is lost, or was
    destroyed on purpose, `termijn evidence rekey` continues the log with another.
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
    column = tables.evidence_pending.c
    query = select(tables.evidence_pending).order_by(column.pending_id).limit(limit)
    waiting = connection.execute(query).all()
    number, last_hash = end.number, end.hash
    rows = []
    for entry, command, subject in _entries(connection, waiting, pseudonymizer, end.key_id, now):
        number += 1
        text = hash_chain.canonical_json({**entry, "n": number})
        last_hash = hash_chain.entry_hash(last_hash, text)
        rows.append(
            {
                "number": number,
                "entry": text,
                "hash": last_hash,
                "command": command,
                "subject": subject,
            }
        )
    if rows:
        insert(connection, tables.evidence, rows)
        ids = [row.pending_id for row in waiting]
        delete_in(connection, tables.evidence_pending, column.pending_id, ids)
        connection.execute(
            update(tables.evidence_chain).values(
                number=number, hash=last_hash, key_id=pseudonymizer.key_id
            )
        )
    head = _sign_head(connection, Head(number=number, hash=last_hash, at=now), ring, head_every)
    return AppendResult(entries=len(rows), head=head)


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
    return _head_is_due(connection, number, now, head_every)


def _lock_chain_end(connection: Connection) -> Row[Any] | None:
    """Lock and return the end of the chain; None where another process has locked it."""
    insert_or_ignore(
        connection,
        tables.evidence_chain,
        [{"chain": _CHAIN, "number": 0, "hash": GENESIS, "key_id": None}],
    )
    query = select(tables.evidence_chain).with_for_update(skip_locked=True)
    return connection.execute(query).one_or_none()


_NewEntry = tuple[Mapping[str, Any], bytes | None, bytes | None]
"""An entry without its number, with the references of its command and its subject."""


def _entries(
    connection: Connection,
    waiting: Sequence[Row[Any]],
    pseudonymizer: Pseudonymizer,
    key_id: str | None,
    now: datetime,
) -> Iterator[_NewEntry]:
    if key_id is None:
        yield {"at": format_rfc3339(now), "kind": "key", "key": pseudonymizer.key_id}, None, None
    ids = {row.command_id for row in waiting if row.kind == "commanded"}
    column = tables.command.c.command_id
    decisions = {
        row.command_id: row for row in select_in(connection, select(*_DECISION), column, ids)
    }
    for row in waiting:
        body = json.loads(row.body)
        if row.kind == "commanded":
            body |= _decision(decisions[row.command_id])
        subject = body.get("subject")
        entry = {
            name: value
            if value is None or name in _CLEAR
            else _pseudonymize(name, value, pseudonymizer)
            for name, value in body.items()
        }
        if row.kind == "operator" and body["action"] in _SAFE_TARGETS:
            entry["target"] = body["target"]
        command = None
        if row.command_id is not None:
            command = pseudonymizer.pseudonym("command", str(row.command_id))
            entry["command"] = command.hex()
        yield (
            {**entry, "at": format_rfc3339(row.at), "kind": row.kind},
            command,
            pseudonymizer.pseudonym("subject", subject) if subject else None,
        )


def _decision(row: Row[Any]) -> dict[str, Any]:
    superseded: UUID | None = row.supersedes
    return {
        "system": row.system,
        "subject": row.subject,
        "action": row.action,
        "rules": json.loads(row.rules),
        "purposes": json.loads(row.purposes),
        "reason": row.reason,
        "article": ARTICLES[row.reason],
        "policy_version": row.policy_version,
        "epoch": row.epoch,
        "seq": row.seq,
        "due_at": format_rfc3339(row.due_at),
        "not_before": format_rfc3339(row.not_before) if row.not_before else None,
        "erase_by": format_rfc3339(row.erase_by) if row.erase_by else None,
        "supersedes": str(superseded) if superseded else None,
        "request": row.request,
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


def _head_is_due(connection: Connection, number: int, now: datetime, interval: timedelta) -> bool:
    column = tables.evidence_head.c
    query = select(column.number, column.at).order_by(column.number.desc(), column.at.desc())
    last_head = connection.execute(query.limit(1)).one_or_none()
    if last_head is None:
        return True
    wait = interval if number > last_head.number else MAX_HEAD_AGE
    return bool(now - last_head.at >= wait)


def _sign_head(
    connection: Connection, head: Head, ring: KeyringSource | None, interval: timedelta
) -> SignedHead | None:
    """Sign the end of the chain if a head is due and a key is valid."""
    if ring is None or not _head_is_due(connection, head.number, head.at, interval):
        return None
    try:
        signed = hash_chain.sign(head, ring)
    except NoSigningKey:
        return None
    row = {
        "number": head.number,
        "at": head.at,
        "head": head.text(),
        "key_id": signed.key_id,
        "x": signed.x,
        "signature": signed.signature,
        "published_at": None,
    }
    insert(connection, tables.evidence_head, [row])
    return signed
