"""The table of the policies, of which the active one is that from which every window is computed."""

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
