"""Proof: what follows an acknowledgement, and a cap that counts only commands that destroy data."""

import sqlalchemy as sa
from alembic import op

from services.storage.types import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FOLLOWED = sa.text("follow_up_at IS NOT NULL")
_SENT = sa.text("first_sent_at IS NOT NULL")
_COUNTED = sa.text("first_sent_at IS NOT NULL AND action <> 'verify'")


def upgrade() -> None:
    """Commands that were acknowledged before are not verified: they had no proof, and have none."""
    op.add_column("command", sa.Column("follow_up_at", UtcDateTime(), nullable=True))
    op.create_index(
        "command_follow_up",
        "command",
        ["follow_up_at"],
        postgresql_where=_FOLLOWED,
        sqlite_where=_FOLLOWED,
    )
    op.drop_index("command_first_sent", "command")
    op.create_index(
        "command_first_sent",
        "command",
        ["first_sent_at"],
        postgresql_where=_COUNTED,
        sqlite_where=_COUNTED,
    )


def downgrade() -> None:
    """Acknowledged is the last state again."""
    op.drop_index("command_first_sent", "command")
    op.create_index(
        "command_first_sent",
        "command",
        ["first_sent_at"],
        postgresql_where=_SENT,
        sqlite_where=_SENT,
    )
    op.drop_index("command_follow_up", "command")
    with op.batch_alter_table("command", schema=None) as batch_op:
        batch_op.drop_column("follow_up_at")
    op.execute(
        "UPDATE command SET state = 'acknowledged' WHERE state IN ('erased', 'attested', 'reopened')"
    )
