"""Finds the entry of the evidence that proves each command, with its way to a signed head.

The way has two parts: from the command to the root of its message, which the entry repeats, and from the
entry to the root of the first head that covers it. Neither reveals another command or another entry.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select

from services.crypto.pseudonyms import Pseudonymizer
from services.evidence.certificate import EntryProof
from services.evidence.export import entry_leaves, signed_head
from services.evidence.hash_chain import SignedHead
from services.evidence.merkle import path_of
from services.evidence.sealed_messages import item_leaf, split_leaves
from services.ledger import tables
from services.ledger.item_states import state_at
from services.requests.subject_data import CommandSummary
from services.storage.bulk import select_in


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryProofs:
    """The proofs of commands, and the signed heads to which they lead."""

    by_command: Mapping[UUID, EntryProof]
    unlinkable: frozenset[UUID]
    """Commands whose leaf was made with another `evidence.key`: nothing shows that it is theirs."""
    heads: tuple[SignedHead, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ItemPath:
    """The way from a command to the root of its message."""

    message_id: int
    item: int
    reference: str
    path: tuple[str, ...]
    root: str


def find_proofs(
    connection: Connection,
    commands: Collection[CommandSummary],
    subject: str,
    pseudonymizer: Pseudonymizer,
    until: int,
) -> EntryProofs:
    """Return the proofs of a subject's commands in the entries up to number `until`.

    A command is left out while no entry has its present state, or no signed head covers that entry.
    """
    paths, unlinkable = _item_paths(connection, commands, subject, pseudonymizer)
    linked = [command for command in commands if command.command_id in paths]
    entries = _proving_entries(connection, linked, paths, until)
    numbers = sorted({row.number for row in entries.values()})
    heads = dict(_covering_heads(connection, numbers))
    entry_paths = dict(_entry_paths(connection, heads))
    return EntryProofs(
        by_command={
            command_id: EntryProof(
                number=row.number,
                hash=row.hash.hex(),
                entry=row.entry,
                entry_path=entry_paths[row.number],
                head=heads[row.number].head.number,
                command=paths[command_id].reference,
                item=paths[command_id].item,
                item_path=paths[command_id].path,
            )
            for command_id, row in entries.items()
            if row.number in heads
        },
        unlinkable=unlinkable,
        heads=tuple({head.head.number: head for _, head in sorted(heads.items())}.values()),
    )


def _item_paths(
    connection: Connection,
    commands: Iterable[CommandSummary],
    subject: str,
    pseudonymizer: Pseudonymizer,
) -> tuple[Mapping[UUID, _ItemPath], frozenset[UUID]]:
    by_message: defaultdict[int, list[CommandSummary]] = defaultdict(list)
    for command in commands:
        if command.message_id is not None:
            by_message[command.message_id].append(command)
    column = tables.message.c
    query = select(column.message_id, column.leaves, column.root).where(column.leaves.is_not(None))
    subject_reference = pseudonymizer.pseudonym("subject", subject)
    paths: dict[UUID, _ItemPath] = {}
    unlinkable = set()
    for row in select_in(connection, query, column.message_id, by_message):
        leaves = split_leaves(bytes(row.leaves))
        for command in by_message[row.message_id]:
            assert command.item is not None, "a command in a message has its place there"
            reference = pseudonymizer.pseudonym("command", str(command.command_id))
            if leaves[command.item] != item_leaf(reference, subject_reference, command.item):
                unlinkable.add(command.command_id)
                continue
            paths[command.command_id] = _ItemPath(
                message_id=row.message_id,
                item=command.item,
                reference=reference.hex(),
                path=_hex(path_of(leaves, command.item)),
                root=bytes(row.root).hex(),
            )
    return paths, frozenset(unlinkable)


def _proving_entries(
    connection: Connection,
    commands: Collection[CommandSummary],
    paths: Mapping[UUID, _ItemPath],
    until: int,
) -> Mapping[UUID, Row[Any]]:
    """Return by command the entry with which it came into its present state.

    A later answer may repeat that state. An entry with another root is about a message that was purged,
    whose number SQLite gave to another.
    """
    by_message: defaultdict[int | None, list[CommandSummary]] = defaultdict(list)
    for command in commands:
        by_message[command.message_id].append(command)
    column = tables.evidence.c
    query = select(tables.evidence).where(column.number <= until).order_by(column.number)
    entries: dict[UUID, Row[Any]] = {}
    for row in select_in(connection, query, column.message_id, by_message):
        entry = json.loads(row.entry)
        for command in by_message[row.message_id]:
            place = paths[command.command_id]
            if entry["root"] != place.root:
                continue
            state = state_at(entry["states"], place.item, entry["items"])
            if state == command.state:
                entries.setdefault(command.command_id, row)
            elif state is not None:
                entries.pop(command.command_id, None)
    return entries


def _covering_heads(
    connection: Connection, numbers: Iterable[int]
) -> Iterator[tuple[int, SignedHead]]:
    """Yield the numbers of entries, in their order, with the first head that covers each."""
    column = tables.evidence_head.c
    query = select(tables.evidence_head).order_by(column.number, column.at).limit(1)
    head: SignedHead | None = None
    for number in numbers:
        if head is None or head.head.number < number:
            row = connection.execute(query.where(column.number >= number)).one_or_none()
            head = signed_head(row) if row is not None else None
        if head is not None and head.head.since < number:
            yield number, head


def _entry_paths(
    connection: Connection, heads: Mapping[int, SignedHead]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the number of each covered entry with its path to the root of its head."""
    leaves: list[bytes] = []
    last: SignedHead | None = None
    for number, signed in heads.items():
        head = signed.head
        if signed is not last:
            leaves, last = list(entry_leaves(connection, head.since, head.number)), signed
        yield number, _hex(path_of(leaves, number - head.since - 1))


def _hex(hashes: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(value.hex() for value in hashes)
