"""Requests: their keys, what systems disclose, what is to be corrected, and the answers."""

import sqlalchemy as sa
from alembic import op

from services.storage.types import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ASKED = sa.text("request IS NOT NULL")
_UNPUBLISHED = sa.text("published_at IS NULL")


def upgrade() -> None:
    """Commands name the request they serve; answers are collected and given."""
    op.add_column("command", sa.Column("request", sa.Text(), nullable=True))
    op.create_index(
        "command_request",
        "command",
        ["subject", "request"],
        postgresql_where=_ASKED,
        sqlite_where=_ASKED,
    )
    op.create_table(
        "request_key",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("destroyed_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_table(
        "disclosure",
        sa.Column("command_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("command_id"),
    )
    op.create_index("disclosure_request", "disclosure", ["request_id"])
    op.create_table(
        "correction",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("noted_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_table(
        "answer",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index(
        "answer_unpublished",
        "answer",
        ["decided_at"],
        postgresql_where=_UNPUBLISHED,
        sqlite_where=_UNPUBLISHED,
    )


def downgrade() -> None:
    """Commands no longer name the request that they serve."""
    for table in ("answer", "correction", "disclosure", "request_key"):
        op.drop_table(table)
    op.drop_index("command_request", "command", postgresql_where=_ASKED, sqlite_where=_ASKED)
    op.drop_column("command", "request")
