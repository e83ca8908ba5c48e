"""Key conflicts: whose an identifying key is. The policy of an older ledger had none."""

import sqlalchemy as sa
from alembic import op

from services.storage.types import UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Recorded events get their keys when a policy with such keys is activated."""
    op.create_table(
        "identifier",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_table(
        "claimant",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "subject"),
    )
    op.create_table(
        "key_conflict",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("found_at", UtcDateTime(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_index(
        "key_conflict_undecided",
        "key_conflict",
        ["found_at"],
        postgresql_where=sa.text("owner IS NULL"),
        sqlite_where=sa.text("owner IS NULL"),
    )


def downgrade() -> None:
    """A key of two subjects then stops nothing."""
    op.drop_index("key_conflict_undecided", table_name="key_conflict")
    for name in ("key_conflict", "claimant", "identifier"):
        op.drop_table(name)
