"""The table of database privileges of each role (PostgreSQL).

Each role of Termijn is also a role of the database, so that none can do another's work: the tagger cannot
forge a command, and only the deleter can delete a record. Locking a row requires the privilege to update
one of its columns; a role that updates nothing gets it on a column whose change does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from services.ledger.tables import metadata
from services.storage.database_roles import ALEMBIC, Role


class Privilege(NamedTuple):
    """A database privilege on a column, or on a whole table or sequence."""

    table: str
    privilege: str
    column: str = ""

    def __str__(self) -> str:
        """Return the privilege as SQL writes it."""
        columns = f" ({self.column})" if self.column else ""
        return f"{self.privilege}{columns} on {self.table}"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a role may do with a table; it may read all of it unless columns, or no columns, are named."""

    select: bool | tuple[str, ...] = True
    insert: bool = False
    update: tuple[str, ...] = ()
    delete: bool = False


_READ: Final = Grant()
_ADD: Final = Grant(insert=True)
_WRITE_ONLY: Final = Grant(select=False, insert=True)
"""It may write and not read."""
_PARK: Final = Grant(select=("dead_letter_id", "state"), insert=True)
"""It may park dead letters, and read only the state of others'."""
_CLOCK: Final = tuple(c.name for c in metadata.tables["clock"].c if c.name != "clock_id")
_CANCELLED: Final = ("state", "next_attempt_at", "settled_at", "live")
"""The columns of a command that change when it is cancelled or recalled."""
_SETTLED: Final = (*_CANCELLED, "escalated_at", "outcome", "follow_up_at")
_ACKNOWLEDGED: Final = (*_SETTLED, "acknowledged_at", "ground")
_SENT: Final = (*_SETTLED, "attempt", "first_sent_at", "message_id", "item")

_ALL: Final[Mapping[str, Grant]] = {
    ALEMBIC: _READ,
    "control": _READ,
}
_READER: Final[Mapping[str, Grant]] = {
    **_ALL,
    "position": Grant(insert=True, update=("next",)),
    "gap": Grant(insert=True, update=("low", "high", "found_at")),
    "dead_letter": _PARK,
}
"""A role that reads Kafka."""
_WRITER: Final[Mapping[str, Grant]] = {"active_policy": _ADD, "evidence_pending": _WRITE_ONLY}
"""A role that writes results of a policy: the first policy of an empty ledger becomes the active one."""
_SUBJECT_FACTS: Final[Mapping[str, Grant]] = dict.fromkeys(
    ("event", "record", "clock", "act"), _READ
)
"""Privileges to read what a subject state is computed from."""

GRANTS: Final[Mapping[Role, Mapping[str, Grant]]] = {
    "tagger": {**_READER, "active_policy": _READ, "parked_event": _ADD},
    "recorder": {
        **_READER,
        **_WRITER,
        "parked_event": _ADD,
        "event": _ADD,
        "record": _WRITE_ONLY,
        "hanging": _WRITE_ONLY,
        "clock": Grant(insert=True, update=_CLOCK),
        "subject": Grant(insert=True, update=("acts", "seq", "next_due", "cursor")),
        "act": _ADD,
        "provenance": Grant(insert=True, update=("inform_by", "reason", "informed_at")),
        "identifier": Grant(insert=True, update=("subject", "events")),
        "claimant": Grant(insert=True, update=("events",)),
        "key_conflict": _ADD,
        "backfill": Grant(insert=True, update=("started_at",)),
        "command": Grant(insert=True, update=_CANCELLED),
        "wording": _ADD,
        "command_record": Grant(update=("live",)),
        "command_clock": _READ,
        "forgetting": Grant(insert=True, update=("key_id",)),
        "forgotten_event": _READ,
        "remains": Grant(update=("sealed",), delete=True),
        "answer": _WRITE_ONLY,
        "request_key": _WRITE_ONLY,
        "correction": _WRITE_ONLY,
    },
    "deleter": {
        **_ALL,
        **_WRITER,
        "control": Grant(insert=True, update=("state", "operator", "reason", "at")),
        "operator_action": _WRITE_ONLY,
        "position": _READ,
        "gap": _READ,
        "dead_letter": Grant(select=("reason", "state", "dead_letter_id")),
        "parked_event": _READ,
        "backfill": _READ,
        "event": Grant(delete=True),
        "record": Grant(update=("next_due",), delete=True),
        "hanging": Grant(delete=True),
        "clock": Grant(update=_CLOCK, delete=True),
        "subject": Grant(insert=True, update=("seq", "next_due", "cursor"), delete=True),
        "act": Grant(delete=True),
        "provenance": Grant(
            insert=True, update=("inform_by", "reason", "informed_at"), delete=True
        ),
        "identifier": Grant(insert=True, update=("subject", "events"), delete=True),
        "claimant": Grant(insert=True, update=("events",), delete=True),
        "key_conflict": Grant(insert=True, update=("owner",), delete=True),
        "scheduled_policy": Grant(update=("problem",), delete=True),
        "forecast": Grant(insert=True, delete=True),
        "forecast_line": Grant(insert=True, delete=True),
        "claimed_obligation": Grant(insert=True, update=("obligations",), delete=True),
        "surge": _ADD,
        "command": Grant(insert=True, update=_SENT, delete=True),
        "wording": _ADD,
        "command_record": Grant(insert=True, update=("live",), delete=True),
        "command_clock": Grant(insert=True, delete=True),
        "message": Grant(insert=True, update=("commands", "leaves", "root"), delete=True),
        "request_key": Grant(insert=True, delete=True),
        "disclosure": Grant(delete=True),
        "correction": Grant(delete=True),
        "answer": Grant(delete=True),
        "evidence_pending": Grant(insert=True, delete=True),
        "evidence": _ADD,
        "evidence_chain": Grant(insert=True, update=("number", "hash", "key_id")),
        "evidence_head": Grant(insert=True, update=("published_at",)),
        "forgetting": Grant(insert=True, update=("key_id", "began_at", "through")),
        "forgetting_cursor": Grant(insert=True, update=("cursor", "done")),
        "forgotten_event": _ADD,
        "remains": _ADD,
    },
    "acknowledgements": {
        **_READER,
        **_WRITER,
        "command": Grant(update=(*_ACKNOWLEDGED, "message_id", "item")),
        "wording": _READ,
        "message": _ADD,
        "command_record": Grant(update=("live",)),
        "record": Grant(select=("record_id",), update=("next_due",)),
        "acknowledgement": Grant(insert=True, delete=True),
        "request_key": Grant(select=("request_id", "destroyed_at"), update=("made_at",)),
        "disclosure": Grant(insert=True, update=("text", "received_at")),
    },
    "rights": {
        **_READER,
        **_WRITER,
        **_SUBJECT_FACTS,
        "subject": Grant(insert=True, update=("cursor",)),
        "provenance": Grant(update=("erased_at",)),
        "command": Grant(update=(*_CANCELLED, "outcome")),
        "wording": _READ,
        "confirmation": _READ,
        "command_record": Grant(update=("live",)),
        "request_key": Grant(insert=True, update=("sealed", "destroyed_at")),
        "correction": Grant(insert=True, update=("text",)),
        "disclosure": Grant(delete=True),
        "answer": Grant(insert=True, update=("published_at",)),
    },
    "operators": {
        **_SUBJECT_FACTS,
        **dict.fromkeys(("hanging", "message"), _READ),
        **_ALL,
        **_WRITER,
        "position": Grant(insert=True, delete=True),
        "gap": Grant(delete=True),
        "dead_letter": Grant(update=("state", "sealed")),
        "parked_event": Grant(delete=True),
        "control": Grant(insert=True, update=("state", "operator", "reason", "at")),
        "operator_action": _ADD,
        "scheduled_policy": Grant(insert=True, delete=True),
        "confirmation": _ADD,
        "forecast": Grant(insert=True, update=("kind",), delete=True),
        "forecast_line": Grant(insert=True, update=("day",), delete=True),
        "surge": Grant(update=("released_at", "operator")),
        "backfill": Grant(update=("released_at", "operator")),
        "record": Grant(update=("next_due", "backfill")),
        "clock": Grant(update=_CLOCK),
        "subject": Grant(insert=True, update=("acts", "seq", "next_due", "cursor")),
        "act": Grant(update=("backfill",)),
        "provenance": Grant(
            insert=True, update=("inform_by", "reason", "informed_at"), delete=True
        ),
        "identifier": Grant(insert=True, update=("subject", "events"), delete=True),
        "claimant": Grant(insert=True, update=("events",), delete=True),
        "key_conflict": Grant(insert=True, update=("owner",), delete=True),
        "command": Grant(insert=True, update=(*_SETTLED, "restored_at")),
        "wording": _ADD,
        "command_record": Grant(insert=True, update=("live",)),
        "command_clock": _ADD,
        "request_key": Grant(insert=True, update=("sealed", "destroyed_at")),
        "correction": Grant(update=("text",)),
        "disclosure": Grant(delete=True),
        "answer": _ADD,
        "evidence": _READ,
        "evidence_chain": Grant(update=("key_id",)),
        "evidence_head": _READ,
        "forgetting": Grant(update=("key_id",)),
    },
}
"""The privileges by role and table; a role has no others. No role may change or delete evidence."""


def table_columns() -> Mapping[str, tuple[str, ...]]:
    """Return the columns of every table."""
    columns = {
        table.name: tuple(column.name for column in table.c) for table in metadata.sorted_tables
    }
    return {ALEMBIC: ("version_num",), **columns}


def table_sequences() -> Mapping[str, str]:
    """Return, by table, the sequence that numbers its rows."""
    return {
        table.name: f"{table.name}_{table.autoincrement_column.name}_seq"
        for table in metadata.sorted_tables
        if table.autoincrement_column is not None
    }


def needed_privileges(role: Role) -> frozenset[Privilege]:
    """Return all privileges that a role needs."""
    privileges = set()
    columns_by_table, sequences = table_columns(), table_sequences()
    for table, grant in GRANTS[role].items():
        all_columns = columns_by_table[table]
        for privilege, columns in (
            ("SELECT", all_columns if grant.select is True else grant.select or ()),
            ("INSERT", all_columns if grant.insert else ()),
            ("UPDATE", grant.update),
        ):
            privileges |= {Privilege(table, privilege, column) for column in columns}
        if grant.delete:
            privileges.add(Privilege(table, "DELETE"))
        if grant.insert and table in sequences:
            privileges.add(Privilege(sequences[table], "USAGE"))
    return frozenset(privileges)
