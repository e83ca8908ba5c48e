"""The ledger keeps the text of each policy that was activated, and who accepted it."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; they are empty for policies that were activated before."""
    op.add_column("active_policy", sa.Column("text", sa.Text))
    op.add_column("active_policy", sa.Column("operator", sa.Text))


def downgrade() -> None:
    """Remove them."""
    op.drop_column("active_policy", "operator")
    op.drop_column("active_policy", "text")
