"""The purge: the ledger's own retention, and what must stay of purged subjects."""

import sqlalchemy as sa
from alembic import op

from services.storage.types import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing is purged yet."""
    op.create_table(
        "forgetting",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("began_at", UtcDateTime(), nullable=True),
        sa.Column("through", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "forgetting_cursor",
        sa.Column("sweep", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("sweep"),
    )
    op.create_table(
        "forgotten_event",
        sa.Column("reference", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("reference"),
    )
    op.create_table(
        "remains",
        sa.Column("reference", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("reference"),
    )


def downgrade() -> None:
    """An event that is delivered again counts as new then."""
    for name in ("remains", "forgotten_event", "forgetting_cursor", "forgetting"):
        op.drop_table(name)
