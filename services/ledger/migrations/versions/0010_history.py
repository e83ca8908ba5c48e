"""History: clocks that are held back are found without reading every clock."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Live events that are too old may wait for weeks, and are counted every few seconds."""
    held = sa.text("backfill IS NOT NULL")
    op.create_index(
        "clock_backfill", "clock", ["backfill"], postgresql_where=held, sqlite_where=held
    )


def downgrade() -> None:
    """They are counted all the same."""
    op.drop_index("clock_backfill", table_name="clock")
