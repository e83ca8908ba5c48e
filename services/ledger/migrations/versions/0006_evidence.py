"""Evidence: a chained log of decisions, commands, acknowledgements and proofs."""

import sqlalchemy as sa
from alembic import op

from services.storage.types import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COMMAND = sa.text("command IS NOT NULL")
_SUBJECT = sa.text("subject IS NOT NULL")
_UNPUBLISHED = sa.text("published_at IS NULL")


def upgrade() -> None:
    """Earlier decisions and commands go into the log as well, marked as written afterwards."""
    op.create_table(
        "evidence_pending",
        sa.Column(
            "pending_id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Uuid(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pending_id"),
    )
    op.create_table(
        "evidence",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("command", sa.LargeBinary(), nullable=True),
        sa.Column("subject", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
    )
    for name, column, where in (
        ("evidence_command", "command", _COMMAND),
        ("evidence_subject", "subject", _SUBJECT),
    ):
        op.create_index(name, "evidence", [column], postgresql_where=where, sqlite_where=where)
    op.create_table(
        "evidence_chain",
        sa.Column("chain", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("chain"),
    )
    op.create_table(
        "evidence_head",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("x", sa.Text(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("number", "at"),
    )
    op.create_index(
        "evidence_head_unpublished",
        "evidence_head",
        ["number"],
        postgresql_where=_UNPUBLISHED,
        sqlite_where=_UNPUBLISHED,
    )
    connection = op.get_bind()
    connection.exec_driver_sql(
        "INSERT INTO evidence_pending (at, kind, command_id, body)"
        " SELECT created_at, 'commanded', command_id, '{\"written_later\":true}'"
        " FROM command ORDER BY created_at, command_id"
    )
    connection.exec_driver_sql(
        "INSERT INTO evidence_pending (at, kind, command_id, body)"
        " SELECT settled_at, 'state', command_id,"
        ' \'{"state":"\' || state || \'","written_later":true}\''
        " FROM command WHERE settled_at IS NOT NULL ORDER BY settled_at, command_id"
    )


def downgrade() -> None:
    """Without the log: what it proved is proven by what was exported of it."""
    for name in ("evidence_head", "evidence_chain", "evidence", "evidence_pending"):
        op.drop_table(name)
