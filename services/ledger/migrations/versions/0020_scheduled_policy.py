"""A policy that was accepted may become active on a later day."""

import sqlalchemy as sa
from alembic import op

from services.storage.types import UtcDateTime

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of the policy that waits for its day."""
    op.create_table(
        "scheduled_policy",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("drops", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("effective_at", UtcDateTime(), nullable=False),
        sa.Column("scheduled_at", UtcDateTime(), nullable=False),
        sa.Column("problem", sa.Text()),
        sa.PrimaryKeyConstraint("number"),
    )


def downgrade() -> None:
    """A scheduled policy is not activated then."""
    op.drop_table("scheduled_policy")
