"""Parked events: until they are settled, data whose erasure they could forbid is not erased."""

import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_VERSION = ".v1"
_CONFLICT = re.compile(r"id: another event of (\S+)\.v1 has this identity")


def upgrade() -> None:
    """Of events that are parked already only the type is known: everything they could forbid waits."""
    table = op.create_table(
        "parked_event",
        sa.Column("dead_letter_id", sa.Uuid(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=True),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("subject", sa.LargeBinary(), nullable=True),
        sa.Column("clocks", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dead_letter_id"),
    )
    op.create_index("parked_event_type", "parked_event", ["event_type"])
    op.create_index("parked_event_topic", "parked_event", ["topic"])
    letters = sa.table(
        "dead_letter",
        *(sa.column(name) for name in ("role", "detail", "topic", "partition", "offset", "state")),
        sa.column("dead_letter_id", sa.Uuid()),
    )
    query = sa.select(letters).where(
        letters.c.state == "parked", letters.c.role.in_(("tagger", "recorder"))
    )
    rows = [
        {
            "dead_letter_id": row.dead_letter_id,
            "event_type": _event_type(row),
            "topic": row.topic,
            "partition": row.partition,
            "offset": row.offset,
            "clocks": "{}",
        }
        for row in op.get_bind().execute(query)
    ]
    if rows:
        op.bulk_insert(table, rows)


def downgrade() -> None:
    """Parked events then hold back no erasure."""
    op.drop_table("parked_event")


def _event_type(row: sa.Row[Any]) -> str | None:
    """Return the type by the topic; for events that the recorder parked, by its detail, if possible."""
    if row.role == "tagger":
        return str(row.topic).removesuffix(_VERSION)
    said = _CONFLICT.search(row.detail)
    return said[1] if said else None
