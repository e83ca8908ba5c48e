"""Messages with several commands take the place of the attempts of each command."""

from collections.abc import Iterator
from itertools import islice
from uuid import UUID

import sqlalchemy as sa
from alembic import op

from services.storage.types import UtcDateTime

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_CHUNK = 1_000
_ATTEMPT = sa.table(
    "attempt",
    *(sa.column("command_id", sa.Uuid()), sa.column("attempt", sa.Integer())),
    sa.column("at", UtcDateTime()),
    *(sa.column(name) for name in ("topic", "partition", "offset")),
)
_COMMAND = sa.table(
    "command",
    *(sa.column("command_id", sa.Uuid()), sa.column("message_id"), sa.column("item")),
    *(sa.column(name) for name in ("system", "action", "attempt")),
)
_MESSAGE = sa.table(
    "message",
    *(sa.column("message_id", sa.BigInteger()), sa.column("at", UtcDateTime())),
    *(sa.column(name) for name in ("system", "action", "topic", "partition", "offset")),
    sa.column("commands", sa.LargeBinary()),
)


def upgrade() -> None:
    """Make a message with one command of each attempt."""
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
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("commands", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_id"),
    )
    op.add_column("command", sa.Column("message_id", sa.BigInteger()))
    op.add_column("command", sa.Column("item", sa.SmallInteger()))
    connection = op.get_bind()
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


def downgrade() -> None:
    """Make the attempts again; those before the last of a command are numbered in their order."""
    op.create_table(
        "attempt",
        sa.Column("command_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("command_id", "attempt"),
    )
    connection = op.get_bind()
    numbers: dict[UUID, int] = {}
    rows = []
    for row in connection.execute(sa.select(_MESSAGE).order_by(_MESSAGE.c.message_id)):
        for start in range(0, len(row.commands), 16):
            command = UUID(bytes=bytes(row.commands[start : start + 16]))
            numbers[command] = numbers.get(command, 0) + 1
            place = {"topic": row.topic, "partition": row.partition, "offset": row.offset}
            rows.append({"command_id": command, "attempt": numbers[command], "at": row.at, **place})
    if rows:
        connection.execute(sa.insert(_ATTEMPT), rows)
    op.drop_column("command", "item")
    op.drop_column("command", "message_id")
    op.drop_table("message")


def _attempts(connection: sa.Connection) -> Iterator[list[sa.Row[tuple[object, ...]]]]:
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
