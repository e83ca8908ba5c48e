"""Acknowledgements may report what the system found when it read again."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; it is empty for earlier acknowledgements."""
    op.add_column("acknowledgement", sa.Column("checked", sa.Text))


def downgrade() -> None:
    """Remove it."""
    op.drop_column("acknowledgement", "checked")
