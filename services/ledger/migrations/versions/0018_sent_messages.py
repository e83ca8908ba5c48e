"""Messages with several commands take the place of the attempts of each command, also in the evidence."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import sqlalchemy as sa
from alembic import op

from services.storage.types import UtcDateTime

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_CHUNK = 1_000
_LETTERS = {
    **{"sending": "g", "sent": "s", "acknowledged": "a", "erased": "e", "attested": "t"},
    **{"reopened": "o", "refused": "r", "cancelled": "c", "recalling": "l", "recalled": "d"},
    **{"closed": "x", "unsent": "u"},
}
_ATTEMPT = sa.table(
    "attempt",
    *(sa.column("command_id", sa.Uuid()), sa.column("attempt", sa.Integer())),
    sa.column("at", UtcDateTime()),
    *(sa.column(name) for name in ("topic", "partition", "offset")),
)
_COMMAND = sa.table(
    "command",
    *(sa.column("command_id", sa.Uuid()), sa.column("message_id"), sa.column("item")),
    *(sa.column(name) for name in ("system", "action", "attempt", "state")),
    sa.column("settled_at", UtcDateTime()),
)
_PENDING = sa.table(
    "evidence_pending",
    *(sa.column("pending_id"), sa.column("command_id", sa.Uuid()), sa.column("message_id")),
    *(sa.column(name) for name in ("kind", "states", "body")),
    sa.column("at", UtcDateTime()),
)


def upgrade() -> None:
    """Make a message with one command of each attempt, and write into the evidence what is settled.

    The heads that were signed before have no Merkle root, so that they prove nothing without the whole log:
    they are deleted, and the next head covers all entries. Those on the topic stay.
    """
    _add_messages(op.get_bind())
    _change_evidence(op.get_bind())


def downgrade() -> None:
    """It cannot be undone: the evidence of messages has no entries of single commands."""
    raise NotImplementedError("restore a backup from before this migration")


def _add_messages(connection: sa.Connection) -> None:
    message = op.create_table(
        "message",
        sa.Column(
            "message_id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("topic", sa.Text()),
        sa.Column("partition", sa.Integer()),
        sa.Column("offset", sa.BigInteger()),
        sa.Column("commands", sa.LargeBinary(), nullable=False),
        sa.Column("leaves", sa.LargeBinary()),
        sa.Column("root", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("message_id"),
    )
    op.add_column("command", sa.Column("message_id", sa.BigInteger()))
    op.add_column("command", sa.Column("item", sa.SmallInteger()))
    for attempts in _attempts(connection):
        rows = [
            {
                "system": row.system,
                "action": row.action,
                "at": row.at,
                "topic": row.topic,
                "partition": row.partition,
                "offset": row.offset,
                "commands": row.command_id.bytes,
            }
            for row in attempts
        ]
        statement = sa.insert(message).returning(message.c.message_id, sort_by_parameter_order=True)
        ids = connection.execute(statement, rows).scalars().all()
        last = [
            {"of": row.command_id, "message": message_id}
            for message_id, row in zip(ids, attempts, strict=True)
            if row.attempt == row.last_attempt
        ]
        if last:
            connection.execute(
                sa.update(_COMMAND)
                .where(_COMMAND.c.command_id == sa.bindparam("of", type_=sa.Uuid()))
                .values(message_id=sa.bindparam("message"), item=0),
                last,
            )
    op.drop_table("attempt")


def _attempts(connection: sa.Connection) -> Iterator[list[sa.Row[Any]]]:
    """Yield the attempts in their order, in chunks."""
    query = (
        sa.select(_ATTEMPT, _COMMAND.c.system, _COMMAND.c.action)
        .add_columns(_COMMAND.c.attempt.label("last_attempt"))
        .join(_COMMAND, _COMMAND.c.command_id == _ATTEMPT.c.command_id)
        .order_by(_ATTEMPT.c.at, _ATTEMPT.c.command_id, _ATTEMPT.c.attempt)
    )
    rows = iter(connection.execute(query).all())
    while chunk := list(islice(rows, _CHUNK)):
        yield chunk


def _change_evidence(connection: sa.Connection) -> None:
    for name in ("command", "subject"):
        op.drop_index(f"evidence_{name}", "evidence")
        op.drop_column("evidence", name)
    op.add_column("evidence", sa.Column("message_id", sa.BigInteger()))
    condition = sa.text("message_id IS NOT NULL")
    op.create_index(
        *("evidence_message", "evidence", ["message_id"]),
        postgresql_where=condition,
        sqlite_where=condition,
    )
    op.execute("DELETE FROM evidence_head")
    op.add_column("evidence_pending", sa.Column("message_id", sa.BigInteger()))
    op.add_column("evidence_pending", sa.Column("states", sa.Text()))
    query = (
        sa.select(_PENDING.c.pending_id, _PENDING.c.kind, _PENDING.c.body)
        .add_columns(_COMMAND.c.message_id, _COMMAND.c.system, _COMMAND.c.action)
        .join(_COMMAND, _COMMAND.c.command_id == _PENDING.c.command_id)
    )
    for row in connection.execute(query).all():
        changed = sa.update(_PENDING).where(_PENDING.c.pending_id == row.pending_id)
        connection.execute(changed.values(**_pending_values(row)))
    op.drop_column("evidence_pending", "command_id")
    settled = (
        sa.select(_COMMAND.c.message_id, _COMMAND.c.state, _COMMAND.c.settled_at)
        .where(_COMMAND.c.message_id.is_not(None), _COMMAND.c.settled_at.is_not(None))
        .order_by(_COMMAND.c.settled_at, _COMMAND.c.message_id)
    )
    rows = [
        {
            **{"at": row.settled_at, "kind": "state", "message_id": row.message_id},
            **{"states": _LETTERS[row.state], "body": '{"written_later":true}'},
        }
        for row in connection.execute(settled).all()
    ]
    if rows:
        connection.execute(sa.insert(_PENDING), rows)


def _pending_values(row: sa.Row[Any]) -> Mapping[str, Any]:
    """Return the new columns of a queued entry about one command."""
    body = json.loads(row.body)
    if row.kind == "commanded" or row.message_id is None:
        count = {"system": row.system, "action": row.action, "commands": 1}
        return {"body": json.dumps({**body, **count})}
    state = body.pop("state", "sent")
    values = {"message_id": row.message_id, "states": _LETTERS[state]}
    return {**values, "body": json.dumps(body)}
