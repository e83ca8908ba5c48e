"""Commands to give notice, by the record whose end they announce."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, select

from services.ledger import tables
from services.ledger.command_state import CARRIED_OUT, State
from services.storage.bulk import select_in


class GivenNotice(NamedTuple):
    """A command to give notice, as it concerns one record."""

    command_id: UUID
    record_id: UUID
    system: str
    step: str
    purposes: tuple[str, ...]
    erase_by: datetime
    """The end that it announces, UTC."""
    seq: int
    state: State

    @property
    def is_carried_out(self) -> bool:
        """Whether its system has acknowledged it."""
        return self.state in CARRIED_OUT


def load_given_notices(
    connection: Connection, records: Collection[UUID]
) -> Mapping[UUID, Sequence[GivenNotice]]:
    """Return, by record, the commands to give notice that were not cancelled, and not given again since."""
    member, command = tables.member.c, tables.command.c
    query = (
        select(command.command_id, member.record_id, member.system, member.step)
        .add_columns(tables.wording.c.purposes, command.erase_by, command.seq, command.state)
        .join(tables.command, command.command_id == member.command_id)
        .join(tables.wording, tables.wording.c.wording_id == command.wording_id)
        .where(member.live, command.action == "notify")
    )
    by_record: defaultdict[UUID, list[GivenNotice]] = defaultdict(list)
    for row in select_in(connection, query, member.record_id, records):
        notice = GivenNotice(**{**row._mapping, "purposes": tuple(json.loads(row.purposes))})
        by_record[notice.record_id].append(notice)
    return by_record
