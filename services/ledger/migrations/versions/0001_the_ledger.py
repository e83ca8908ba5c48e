"""The tables of the ledger."""

import sqlalchemy as sa
from alembic import op

from services.storage.types import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_IS_OPEN = "state IN ('unsent', 'sending', 'sent', 'recalling', 'refused')"


def upgrade() -> None:
    """Create the tables."""
    _create_consumers()
    _create_facts()
    _create_subjects()
    _create_commands()
    _create_requests()
    _create_policies()
    _create_forecasts()
    _create_purge()
    _create_evidence()


def downgrade() -> None:
    """There is nothing before it."""
    raise NotImplementedError("delete the database instead")


def _create_consumers() -> None:
    op.create_table(
        "control",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
    )
    op.create_table(
        "dead_letter",
        sa.Column("dead_letter_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", UtcDateTime(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dead_letter_id"),
    )
    op.create_index("dead_letter_state", "dead_letter", ["state"])
    op.create_table(
        "evidence_pending",
        sa.Column(
            "pending_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message_id", sa.BigInteger()),
        sa.Column("states", sa.Text()),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pending_id"),
    )
    op.create_table(
        "gap",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("cluster_id", sa.Text(), nullable=False),
        sa.Column("topic_id", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("expected", sa.BigInteger()),
        sa.Column("low", sa.BigInteger(), nullable=False),
        sa.Column("high", sa.BigInteger(), nullable=False),
        sa.Column("found_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("role", "cluster_id", "topic_id", "partition"),
    )
    op.create_table(
        "operator_action",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "parked_event",
        sa.Column("dead_letter_id", sa.Uuid(), nullable=False),
        sa.Column("event_type", sa.Text()),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.Text()),
        sa.Column("subject", sa.LargeBinary()),
        sa.Column("clocks", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dead_letter_id"),
    )
    op.create_index("parked_event_topic", "parked_event", ["topic"])
    op.create_index("parked_event_type", "parked_event", ["event_type"])
    op.create_table(
        "position",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("cluster_id", sa.Text(), nullable=False),
        sa.Column("topic_id", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("role", "cluster_id", "topic_id", "partition"),
    )


def _create_facts() -> None:
    op.create_table(
        "backfill",
        sa.Column("backfill", sa.Text(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("released_at", UtcDateTime()),
        sa.Column("operator", sa.Text()),
        sa.PrimaryKeyConstraint("backfill"),
    )
    op.create_table(
        "clock",
        sa.Column("clock_id", sa.Uuid(), nullable=False),
        sa.Column("clock", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Uuid()),
        sa.Column("opened_at", UtcDateTime()),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("moved_at", UtcDateTime()),
        sa.Column("moved_source", sa.Text(), nullable=False),
        sa.Column("moved_id", sa.Text(), nullable=False),
        sa.Column("moved_backfill", sa.Text()),
        sa.Column("moved_to", UtcDateTime()),
        sa.Column("moved_outcome", sa.Text()),
        sa.Column("anchor_at", UtcDateTime()),
        sa.Column("outcome", sa.Text()),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("next_due", UtcDateTime()),
        sa.Column("fired_to", UtcDateTime()),
        sa.Column("cursor", sa.Uuid()),
        sa.Column("backfill", sa.Text()),
        sa.PrimaryKeyConstraint("clock_id"),
    )
    op.create_index(
        "clock_backfill",
        "clock",
        ["backfill"],
        postgresql_where=sa.text("backfill IS NOT NULL"),
        sqlite_where=sa.text("backfill IS NOT NULL"),
    )
    op.create_index(
        "clock_due",
        "clock",
        ["next_due"],
        postgresql_where=sa.text("next_due IS NOT NULL AND backfill IS NULL"),
        sqlite_where=sa.text("next_due IS NOT NULL AND backfill IS NULL"),
    )
    op.create_index(
        "clock_open",
        "clock",
        ["clock", "opened_at"],
        postgresql_where=sa.text("anchor_at IS NULL"),
        sqlite_where=sa.text("anchor_at IS NULL"),
    )
    op.create_index("clock_parent", "clock", ["parent_id"])
    op.create_table(
        "event",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("deciding", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_table(
        "hanging",
        sa.Column("clock_id", sa.Uuid(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("clock_id", "record_id"),
    )
    op.create_table(
        "record",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("next_due", UtcDateTime()),
        sa.Column("backfill", sa.Text()),
        sa.PrimaryKeyConstraint("record_id"),
    )
    op.create_index(
        "record_backfill",
        "record",
        ["backfill"],
        postgresql_where=sa.text("backfill IS NOT NULL"),
        sqlite_where=sa.text("backfill IS NOT NULL"),
    )
    op.create_index(
        "record_due",
        "record",
        ["next_due"],
        postgresql_where=sa.text("next_due IS NOT NULL AND backfill IS NULL"),
        sqlite_where=sa.text("next_due IS NOT NULL AND backfill IS NULL"),
    )
    op.create_index("record_subject", "record", ["subject", "record_id"])


def _create_subjects() -> None:
    op.create_table(
        "act",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("backfill", sa.Text()),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("act_subject", "act", ["subject"])
    op.create_table(
        "provenance",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("inform_by", UtcDateTime()),
        sa.Column("reason", sa.Text()),
        sa.Column("informed_at", UtcDateTime()),
        sa.Column("erased_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("provenance_subject", "provenance", ["subject"])
    op.create_index(
        "provenance_open",
        "provenance",
        ["inform_by"],
        postgresql_where=sa.text("informed_at IS NULL AND erased_at IS NULL"),
        sqlite_where=sa.text("informed_at IS NULL AND erased_at IS NULL"),
    )
    op.create_table(
        "claimant",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "subject"),
    )
    op.create_table(
        "identifier",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_table(
        "key_conflict",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("found_at", UtcDateTime(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_index(
        "key_conflict_undecided",
        "key_conflict",
        ["found_at"],
        postgresql_where=sa.text("owner IS NULL"),
        sqlite_where=sa.text("owner IS NULL"),
    )
    op.create_table(
        "subject",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("acts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_due", UtcDateTime()),
        sa.Column("cursor", sa.Uuid()),
        sa.PrimaryKeyConstraint("subject"),
    )
    op.create_index(
        "subject_due",
        "subject",
        ["next_due"],
        postgresql_where=sa.text("next_due IS NOT NULL"),
        sqlite_where=sa.text("next_due IS NOT NULL"),
    )


def _create_commands() -> None:
    op.create_table(
        "acknowledgement",
        sa.Column("acknowledgement_id", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("acknowledgement_id", "system"),
    )
    op.create_index("acknowledgement_received", "acknowledgement", ["received_at"])
    op.create_table(
        "command",
        sa.Column("command_id", sa.Uuid(), nullable=False),
        sa.Column("wording_id", sa.BigInteger(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("not_before", UtcDateTime()),
        sa.Column("erase_by", UtcDateTime()),
        sa.Column("next_attempt_at", UtcDateTime()),
        sa.Column("first_sent_at", UtcDateTime()),
        sa.Column("settled_at", UtcDateTime()),
        sa.Column("escalated_at", UtcDateTime()),
        sa.Column("acknowledged_at", UtcDateTime()),
        sa.Column("follow_up_at", UtcDateTime()),
        sa.Column("restored_at", UtcDateTime()),
        sa.Column("message_id", sa.BigInteger()),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("item", sa.SmallInteger()),
        sa.Column("names_subject", sa.Boolean(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("record_id", sa.Uuid()),
        sa.Column("supersedes", sa.Uuid()),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("ground", sa.Text()),
        sa.Column("request", sa.Text()),
        sa.PrimaryKeyConstraint("command_id"),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(
        "command_follow_up",
        "command",
        ["follow_up_at"],
        postgresql_where=sa.text("follow_up_at IS NOT NULL"),
        sqlite_where=sa.text("follow_up_at IS NOT NULL"),
    )
    op.create_index(
        "command_live",
        "command",
        ["record_id", "system", "step"],
        unique=True,
        postgresql_where=sa.text("live"),
        sqlite_where=sa.text("live"),
    )
    op.create_index(
        "command_next_attempt",
        "command",
        ["next_attempt_at"],
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
        sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.create_index(
        "command_protects",
        "command",
        ["next_attempt_at"],
        postgresql_where=sa.text(
            "next_attempt_at IS NOT NULL AND action IN ('recall', 'restrict')"
        ),
        sqlite_where=sa.text("next_attempt_at IS NOT NULL AND action IN ('recall', 'restrict')"),
    )
    op.create_index(
        "command_request",
        "command",
        ["subject", "request"],
        postgresql_where=sa.text("request IS NOT NULL"),
        sqlite_where=sa.text("request IS NOT NULL"),
    )
    op.create_index(
        "command_open",
        "command",
        ["system", "state"],
        postgresql_where=sa.text(_IS_OPEN),
        sqlite_where=sa.text(_IS_OPEN),
    )
    op.create_table(
        "command_clock",
        sa.Column("clock_id", sa.Uuid(), nullable=False),
        sa.Column("command_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("clock_id", "command_id"),
    )
    op.create_index("command_clock_command", "command_clock", ["command_id"])
    op.create_table(
        "command_record",
        sa.Column("command_id", sa.Uuid(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("command_id", "record_id"),
    )
    op.create_index(
        "command_record_live",
        "command_record",
        ["record_id", "system", "step"],
        unique=True,
        postgresql_where=sa.text("live"),
        sqlite_where=sa.text("live"),
    )
    op.create_table(
        "message",
        sa.Column(
            "message_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("topic", sa.Text()),
        sa.Column("partition", sa.Integer()),
        sa.Column("offset", sa.BigInteger()),
        sa.Column("first_attempts", sa.SmallInteger(), nullable=False),
        sa.Column("commands", sa.LargeBinary(), nullable=False),
        sa.Column("leaves", sa.LargeBinary()),
        sa.Column("root", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("message_id"),
    )
    op.create_index("message_at", "message", ["at"])
    op.create_index("message_place", "message", ["topic", "partition", "offset"])
    op.create_table(
        "wording",
        sa.Column("wording_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("wording_id"),
    )


def _create_requests() -> None:
    op.create_table(
        "answer",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=False),
        sa.Column("published_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index(
        "answer_unpublished",
        "answer",
        ["decided_at"],
        postgresql_where=sa.text("published_at IS NULL"),
        sqlite_where=sa.text("published_at IS NULL"),
    )
    op.create_table(
        "correction",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("text", sa.Text()),
        sa.Column("noted_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_table(
        "disclosure",
        sa.Column("command_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("command_id"),
    )
    op.create_index("disclosure_request", "disclosure", ["request_id"])
    op.create_table(
        "request_key",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("destroyed_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("request_id"),
    )


def _create_policies() -> None:
    op.create_table(
        "active_policy",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("shapes", sa.Text(), nullable=False),
        sa.Column("activated_at", UtcDateTime(), nullable=False),
        sa.Column("text", sa.Text()),
        sa.Column("operator", sa.Text()),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "confirmation",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "scheduled_policy",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("drops", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("effective_at", UtcDateTime(), nullable=False),
        sa.Column("scheduled_at", UtcDateTime(), nullable=False),
        sa.Column("problem", sa.Text()),
        sa.PrimaryKeyConstraint("number"),
    )


def _create_forecasts() -> None:
    op.create_table(
        "forecast",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("digest", sa.Text()),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "forecast_line",
        sa.Column("forecast", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("obligations", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("forecast", "day", "rule", "system"),
    )
    op.create_table(
        "claimed_obligation",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("obligations", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "rule", "system"),
    )
    op.create_table(
        "surge",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("claimed", sa.BigInteger(), nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=False),
        sa.Column("forecast_at", UtcDateTime(), nullable=False),
        sa.Column("found_at", UtcDateTime(), nullable=False),
        sa.Column("policy_number", sa.Integer(), nullable=False),
        sa.Column("released_at", UtcDateTime()),
        sa.Column("operator", sa.Text()),
        sa.PrimaryKeyConstraint("number"),
    )


def _create_purge() -> None:
    op.create_table(
        "forgetting",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.Text()),
        sa.Column("began_at", UtcDateTime()),
        sa.Column("through", UtcDateTime()),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "forgetting_cursor",
        sa.Column("sweep", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text()),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("sweep"),
    )
    op.create_table(
        "forgotten_event",
        sa.Column("reference", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("reference"),
    )
    op.create_table(
        "remains",
        sa.Column("reference", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("reference"),
    )


def _create_evidence() -> None:
    op.create_table(
        "evidence",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", sa.BigInteger()),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index(
        "evidence_message",
        "evidence",
        ["message_id"],
        postgresql_where=sa.text("message_id IS NOT NULL"),
        sqlite_where=sa.text("message_id IS NOT NULL"),
    )
    op.create_table(
        "evidence_chain",
        sa.Column("chain", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text()),
        sa.PrimaryKeyConstraint("chain"),
    )
    op.create_table(
        "evidence_head",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("x", sa.Text(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("published_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("number", "at"),
    )
    op.create_index(
        "evidence_head_unpublished",
        "evidence_head",
        ["number"],
        postgresql_where=sa.text("published_at IS NULL"),
        sqlite_where=sa.text("published_at IS NULL"),
    )
