"""Rights: the state of a data subject, and the index from a subject to the records."""

import sqlalchemy as sa
from alembic import op

from services.storage.types import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_DUE = sa.text("next_due IS NOT NULL")
_SENT = sa.text("first_sent_at IS NOT NULL")


def upgrade() -> None:
    """The lock of a subject becomes the subject's row, to which acts belong."""
    op.rename_table("subject_lock", "subject")
    with op.batch_alter_table("subject", schema=None) as batch_op:
        batch_op.add_column(sa.Column("acts", sa.BigInteger(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("next_due", UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("cursor", sa.Uuid(), nullable=True))
        batch_op.create_index("subject_due", ["next_due"], postgresql_where=_DUE, sqlite_where=_DUE)
    op.create_table(
        "act",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("backfill", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("act_subject", "act", ["subject"])
    op.create_index("record_subject", "record", ["subject", "record_id"])
    op.create_index(
        "command_first_sent",
        "command",
        ["first_sent_at"],
        postgresql_where=_SENT,
        sqlite_where=_SENT,
    )


def downgrade() -> None:
    """The subject's row is a lock again."""
    op.drop_index("command_first_sent", "command", postgresql_where=_SENT, sqlite_where=_SENT)
    op.drop_index("record_subject", "record")
    op.drop_index("act_subject", "act")
    op.drop_table("act")
    with op.batch_alter_table("subject", schema=None) as batch_op:
        batch_op.drop_index("subject_due", postgresql_where=_DUE, sqlite_where=_DUE)
        batch_op.drop_column("cursor")
        batch_op.drop_column("next_due")
        batch_op.drop_column("acts")
    op.rename_table("subject", "subject_lock")
