"""The table of the active policy, from which every retention window is computed."""

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
)
"""The policies that were activated: the last row is the active one."""
