"""Tables of the policies: the active one, from which all windows are computed, and others."""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table, Text

from services.storage.tables import metadata
from services.storage.types import UtcDateTime

active_policy = Table(
    "active_policy",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("policy", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("shapes", Text, nullable=False),
    Column("activated_at", UtcDateTime, nullable=False),
    Column("text", Text),
    Column("operator", Text),
)
"""The policies that were activated: the last row is the active one.

`text` is the whole policy as JSON (`services.policy.loader.policy_text`); it is empty for a policy that was
activated by a version which did not keep it. `operator` accepted it; the first policy of an empty ledger
has none.
"""

scheduled_policy = Table(
    "scheduled_policy",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("policy", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("drops", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("effective_at", UtcDateTime, nullable=False),
    Column("scheduled_at", UtcDateTime, nullable=False),
    Column("problem", Text),
)
"""The policy that was accepted and becomes active on a later day; there is at most one.

`drops` is JSON. `problem` is why it could not be activated when its day came.
"""

confirmation = Table(
    "confirmation",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("rule", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
"""Who has confirmed the derived term of which rule, as it was then (`digest`)."""
