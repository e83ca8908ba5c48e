"""Acknowledgements are kept by message, their grounds and times with the commands."""

import sqlalchemy as sa
from alembic import op

from services.storage.types import UtcDateTime

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns of commands, and replace the table; ids of earlier acknowledgements are forgotten."""
    op.add_column("command", sa.Column("ground", sa.Text))
    op.add_column("command", sa.Column("acknowledged_at", UtcDateTime()))
    op.execute(
        "UPDATE command SET ground = (SELECT max(ground) FROM acknowledgement"
        " WHERE acknowledgement.command_id = command.command_id),"
        " acknowledged_at = (SELECT min(received_at) FROM acknowledgement"
        " WHERE acknowledgement.command_id = command.command_id"
        " AND status IN ('done', 'nothing_held', 'already_done'))"
    )
    op.drop_table("acknowledgement")
    op.create_table(
        "acknowledgement",
        sa.Column("acknowledgement_id", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("acknowledgement_id", "system"),
    )
    op.create_index("acknowledgement_received", "acknowledgement", ["received_at"])


def downgrade() -> None:
    """Restore the former table, which is then empty."""
    op.drop_table("acknowledgement")
    op.create_table(
        "acknowledgement",
        sa.Column("acknowledgement_id", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Uuid(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("ground", sa.Text()),
        sa.Column("checked", sa.Text()),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("acknowledgement_id", "system"),
    )
    op.create_index("acknowledgement_command", "acknowledgement", ["command_id"])
    op.drop_column("command", "acknowledged_at")
    op.drop_column("command", "ground")
