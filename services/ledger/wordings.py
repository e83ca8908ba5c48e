"""Wordings: what commands state apart from whom and what they are about, stored once for all alike."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Connection, select

from services.ledger import tables
from services.storage.bulk import insert_or_ignore, select_in


class Wording(NamedTuple):
    """The rules and purposes of a command, its reason, and the version of the policy that wants it."""

    rules: tuple[str, ...]
    purposes: tuple[str, ...]
    reason: str
    policy_version: str

    @property
    def wording_id(self) -> int:
        """Its id, the same in every ledger: 63 bits of a hash of the texts."""
        return int.from_bytes(sha256(json.dumps(self).encode()).digest()[:8], "big") >> 1


def store_wordings(connection: Connection, wordings: Collection[Wording]) -> Mapping[Wording, int]:
    """Store those that are not stored yet, and return the id of each."""
    ids = {wording: wording.wording_id for wording in wordings}
    rows = [
        {
            "wording_id": wording_id,
            "rules": json.dumps(wording.rules),
            "purposes": json.dumps(wording.purposes),
            "reason": wording.reason,
            "policy_version": wording.policy_version,
        }
        for wording, wording_id in sorted(ids.items(), key=lambda item: item[1])
    ]
    insert_or_ignore(connection, tables.wording, rows)
    return ids


def load_wordings(connection: Connection, ids: Collection[int]) -> Mapping[int, Wording]:
    """Return wordings by their ids."""
    rows = select_in(connection, select(tables.wording), tables.wording.c.wording_id, ids)
    return {
        row.wording_id: Wording(
            rules=tuple(json.loads(row.rules)),
            purposes=tuple(json.loads(row.purposes)),
            reason=row.reason,
            policy_version=row.policy_version,
        )
        for row in rows
    }
