"""Emission: commands that protect are found at once, whatever waits; closed commands block no record."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_PROTECTS = sa.text("next_attempt_at IS NOT NULL AND action IN ('recall', 'restrict')")


def upgrade() -> None:
    """The records of commands that operators closed are free for other commands."""
    op.create_index(
        "command_protects",
        "command",
        ["next_attempt_at"],
        postgresql_where=_PROTECTS,
        sqlite_where=_PROTECTS,
    )
    op.execute(
        "UPDATE member SET live = false WHERE live"
        " AND command_id IN (SELECT command_id FROM command WHERE state = 'closed')"
    )
