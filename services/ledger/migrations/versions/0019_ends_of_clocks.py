"""A clock may end on a day that an event names, and with an outcome."""

import sqlalchemy as sa
from alembic import op

from services.storage.types import UtcDateTime

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; they are empty for clocks that ended at the time of an event."""
    op.add_column("clock", sa.Column("moved_to", UtcDateTime()))
    op.add_column("clock", sa.Column("moved_outcome", sa.Text))
    op.add_column("clock", sa.Column("outcome", sa.Text))


def downgrade() -> None:
    """Remove them."""
    for name in ("outcome", "moved_outcome", "moved_to"):
        op.drop_column("clock", name)
