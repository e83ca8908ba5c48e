"""The records of commands, for tests that ask the database in SQL."""

from __future__ import annotations

from typing import Final

MEMBERS: Final = (
    "(SELECT command_id, record_id, system, step, live FROM command WHERE record_id IS NOT NULL"
    " UNION ALL SELECT command_id, record_id, system, step, live FROM command_record)"
)
"""A subquery with a row for each record of each command."""
