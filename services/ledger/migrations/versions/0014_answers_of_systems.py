"""Answers are known by their system as well as by their id, and refusals that are not final come again."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0011"
branch_labels = None
depends_on = None

_ID, _BOTH = ["acknowledgement_id"], ["acknowledgement_id", "system"]


def upgrade() -> None:
    """What was refused and is somebody's business is told again at once.

    That may be a controller's refusal too, if the controller had been silent for too long before: it is
    asked once more, and its answer is final.
    """
    _key(_BOTH)
    op.execute(
        sa.text(
            "UPDATE command SET next_attempt_at = settled_at, settled_at = NULL"
            " WHERE state = 'refused' AND escalated_at IS NOT NULL AND action <> 'recall'"
        )
    )


def downgrade() -> None:
    """Fails where two systems have given the same id."""
    op.execute(
        sa.text(
            "UPDATE command SET settled_at = next_attempt_at, next_attempt_at = NULL"
            " WHERE state = 'refused' AND next_attempt_at IS NOT NULL"
        )
    )
    _key(_ID)


def _key(columns: list[str]) -> None:
    with op.batch_alter_table("acknowledgement") as batch:
        if op.get_context().dialect.name == "postgresql":
            batch.drop_constraint("acknowledgement_pkey", type_="primary")
        batch.create_primary_key("acknowledgement_pkey", columns)
