"""Acknowledgements are identified by system and id, and refusals that are not final are sent again."""

import sqlalchemy as sa
from alembic import op

from services.storage.types import UtcDateTime

revision = "0014"
down_revision = "0011"
branch_labels = None
depends_on = None

_ID, _BOTH = ["acknowledgement_id"], ["acknowledgement_id", "system"]


def upgrade() -> None:
    """Refused commands that are not final are sent again at once.

    That may be a controller's refusal too, if the controller had been silent for too long before: it is
    sent the command once more, and its acknowledgement is final.
    """
    _key(_BOTH)
    op.execute(
        sa.text(
            "UPDATE command SET next_attempt_at = settled_at, settled_at = NULL"
            " WHERE state = 'refused' AND escalated_at IS NOT NULL AND action <> 'recall'"
        )
    )


def downgrade() -> None:
    """Undo it; this fails if two systems have given the same id."""
    op.execute(
        sa.text(
            "UPDATE command SET settled_at = next_attempt_at, next_attempt_at = NULL"
            " WHERE state = 'refused' AND next_attempt_at IS NOT NULL"
        )
    )
    _key(_ID)


def _key(columns: list[str]) -> None:
    if op.get_context().dialect.name == "postgresql":
        op.drop_constraint("acknowledgement_pkey", "acknowledgement", type_="primary")
        op.create_primary_key("acknowledgement_pkey", "acknowledgement", columns)
        return
    # SQLite cannot change a table's key, so the table is created again.
    op.drop_index("acknowledgement_command", "acknowledgement")
    op.rename_table("acknowledgement", "old_acknowledgement")
    op.create_table(
        "acknowledgement",
        sa.Column("acknowledgement_id", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Uuid(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("ground", sa.Text(), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint(*columns),
    )
    listed = (
        "acknowledgement_id, command_id, system, attempt, status, counts, ground, at, received_at"
    )
    op.execute(f"INSERT INTO acknowledgement ({listed}) SELECT {listed} FROM old_acknowledgement")
    op.drop_table("old_acknowledgement")
    op.create_index("acknowledgement_command", "acknowledgement", ["command_id"])
