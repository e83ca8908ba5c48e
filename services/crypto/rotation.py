"""Rotating the master key, so that a backup of the vault cannot bring back what was shredded since.

A backup holds wrapped keys, also those that were destroyed after it was made. It opens nothing once the
master key of its time is destroyed: rotate, make a new backup, and destroy the old master key wherever it
is kept, within a week at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.errors import TermijnError
from services.crypto.data_keys import DataKeyStore
from services.crypto.master_keys import FileMasterKeys, MasterKeyVersion

MAX_RETIRED_AGE = timedelta(days=7)
"""A master key that no longer wraps is destroyed within this time: so long backups open what is gone."""
_SETTLES = timedelta(minutes=10)
"""So long a publisher may still be about to commit a key under the master key that it saw."""


class MasterKeyInUse(TermijnError):
    """A master key is still needed; nothing was destroyed.

    The operator does what it says, and destroys it then.
    """

    def __init__(self, master: str, why: str) -> None:
        super().__init__(f"the master key {master} {why}")
        self.master = master


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKeyStatus:
    """One master key and what it still wraps."""

    generation: MasterKeyVersion
    keys: int
    retired_at: datetime | None
    """When another took over from it, UTC; None: it wraps."""

    def overdue(self, now: datetime) -> bool:
        """Whether it should be destroyed by now."""
        return self.retired_at is not None and now - self.retired_at > MAX_RETIRED_AGE


def master_key_statuses(keys: DataKeyStore, masters: FileMasterKeys) -> list[MasterKeyStatus]:
    """Every master key that is here, oldest first.

    Raises:
        InvalidKeyFile: one of them cannot be used.
    """
    there = masters.generations()
    wrapped: dict[str, int] = {}
    for one in keys.counted():
        if one.master is not None:
            wrapped[one.master] = wrapped.get(one.master, 0) + one.keys
    followers = [*(one.made_at for one in there[1:]), None][: len(there)]
    return [
        MasterKeyStatus(generation=one, keys=wrapped.get(one.master, 0), retired_at=retired_at)
        for one, retired_at in zip(there, followers, strict=True)
    ]


def rotate(keys: DataKeyStore, masters: FileMasterKeys) -> tuple[MasterKeyVersion, int]:
    """Make a new master key and wrap every key under it; the master key and how many keys.

    Raises:
        UnusableKey, NoSuchMaster, Unopenable: of the master keys; what is wrapped anew stays so.
    """
    made = masters.add()
    return made, _rewrap_all(keys)


def destroy(
    keys: DataKeyStore, masters: FileMasterKeys, master: str, now: datetime
) -> Sequence[MasterKeyStatus]:
    """Destroy a master key that another has taken over from; the standings that are left. `now` is UTC.

    Raises:
        MasterKeyInUse: it wraps, or may still do so in a publisher that has not looked again.
    """
    found = {one.generation.master: one for one in master_key_statuses(keys, masters)}
    if master not in found:
        raise MasterKeyInUse(master, "is not here: `termijn vault status` names those that are")
    retired_at = found[master].retired_at
    if retired_at is None:
        raise MasterKeyInUse(master, "is the one that wraps: `termijn vault rotate` makes another")
    if now - retired_at < _SETTLES:
        why = f"was current until {retired_at:%H:%M:%S} UTC: publishers may use it for ten minutes"
        raise MasterKeyInUse(master, why)
    _rewrap_all(keys)  # what a publisher wrapped while the others were wrapped anew
    masters.destroy(found[master].generation)
    return master_key_statuses(keys, masters)


def _rewrap_all(keys: DataKeyStore) -> int:
    total = 0
    while done := keys.rewrap():
        total += done
    return total
