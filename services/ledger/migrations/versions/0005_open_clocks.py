"""Open clocks by kind and age, so that a clock that no event ends is found without reading all others."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_OPEN = sa.text("anchor_at IS NULL")


def upgrade() -> None:
    """An index of the clocks that no event has stopped."""
    op.create_index(
        "clock_open",
        "clock",
        ["clock", "opened_at"],
        postgresql_where=_OPEN,
        sqlite_where=_OPEN,
    )


def downgrade() -> None:
    """Without it."""
    op.drop_index("clock_open", "clock", postgresql_where=_OPEN, sqlite_where=_OPEN)
