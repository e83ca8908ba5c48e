"""Proof in the acknowledgement: a system that read again after it erased reports what is left.

Then no verification has to follow. One in so many erasures is verified all the same (`verify_one_in` of
the policy), at random, so that no system knows which.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, func, select

from services.deleter.acknowledged_command import AcknowledgedCommand
from services.deleter.acknowledgement import Acknowledgement
from services.ledger import tables
from services.policy.model import Policy
from services.storage.bulk import select_in

_DRAWN_AT_ONCE: Final = 512


class RandomSample:
    """Chooses one in so many at random, which no system can foresee; numbers are drawn for many at once."""

    def __init__(self, one_in: int) -> None:
        self._one_in = one_in
        self._drawn: list[int] = []

    def chooses(self) -> bool:
        """Return whether the next is chosen."""
        if not self._drawn:
            self._drawn = memoryview(secrets.token_bytes(8 * _DRAWN_AT_ONCE)).cast("Q").tolist()
        return self._drawn.pop() % self._one_in == 0


def apply_second_reading(
    command: AcknowledgedCommand,
    acknowledgement: Acknowledgement,
    policy: Policy,
    records: int,
    sample: RandomSample,
    now: datetime,
) -> AcknowledgedCommand:
    """Return an erasure of so many records, just acknowledged, proven or contradicted by what was read.

    Unchanged, so that its verification follows, if its system did not read all of its records again,
    if the policy wants them read later, or if it is one of those that are verified all the same.
    """
    checked = acknowledgement.checked
    if (
        checked is None
        or acknowledgement.status != "done"
        or checked.records != records
        or not checked.found
        or policy.systems[command.system].verify_delay != timedelta(0)
    ):
        return command
    if any(checked.found.values()):
        return command.after("still_present", now)
    if sample.chooses():
        return command
    return command.after("proven", now)


def count_records(
    connection: Connection,
    commands: Collection[AcknowledgedCommand],
    acknowledgements: Iterable[Acknowledgement],
) -> Mapping[UUID, int]:
    """Count the records of each of the commands that names several and was read again."""
    column = tables.command_record.c.command_id
    query = select(column, func.count().label("records")).group_by(column)
    several = {command.command_id for command in commands if command.record_id is None}
    if several:
        several &= {item.command_id for item in acknowledgements if item.checked is not None}
    return {row.command_id: row.records for row in select_in(connection, query, column, several)}
