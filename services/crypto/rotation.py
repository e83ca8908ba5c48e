"""Rotation of the master key, so that a backup of the vault cannot restore what was shredded since.

A backup contains wrapped keys, including those that were destroyed later. It is useless once the master key
of its time is destroyed: rotate, make a new backup, and destroy the old master key with all its copies,
within a week at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.errors import TermijnError
from services.crypto.data_keys import DataKeyStore
from services.crypto.master_keys import FileMasterKeys, MasterKeyVersion

MAX_RETIRED_AGE = timedelta(days=7)
"""A retired master key is destroyed within this time: until then backups can restore shredded data."""
_PUBLISHER_GRACE = timedelta(minutes=10)
"""How long a publisher may still commit a key that it wrapped with the retired master key."""


class MasterKeyInUse(TermijnError):
    """A master key is still needed; nothing was destroyed.

    The operator follows the message, and destroys it then.
    """

    def __init__(self, master: str, problem: str) -> None:
        super().__init__(f"master key {master}: {problem}")
        self.master = master


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKeyStatus:
    """A master key and how many keys it still wraps."""

    version: MasterKeyVersion
    keys: int
    retired_at: datetime | None
    """When another replaced it, UTC; None: it is current."""

    def is_overdue(self, now: datetime) -> bool:
        """Return whether it should be destroyed by now, UTC."""
        return self.retired_at is not None and now - self.retired_at > MAX_RETIRED_AGE


def master_key_statuses(keys: DataKeyStore, masters: FileMasterKeys) -> list[MasterKeyStatus]:
    """Return the status of every master key, oldest first.

    Raises:
        InvalidKeyFile: one of them cannot be used.
    """
    versions = masters.list_versions()
    keys_by_master: dict[str, int] = {}
    for count in keys.count_by_master():
        if count.master is not None:
            keys_by_master[count.master] = keys_by_master.get(count.master, 0) + count.keys
    retirement_times = [*(version.made_at for version in versions[1:]), None][: len(versions)]
    return [
        MasterKeyStatus(
            version=version, keys=keys_by_master.get(version.master, 0), retired_at=retired_at
        )
        for version, retired_at in zip(versions, retirement_times, strict=True)
    ]


def rotate(keys: DataKeyStore, masters: FileMasterKeys) -> tuple[MasterKeyVersion, int]:
    """Create a master key and wrap every data key with it; return it and the number of keys.

    Raises:
        InvalidKeyFile, MasterKeyNotFound, DecryptionFailed: of the master keys; rewrapped keys stay so.
    """
    version = masters.add()
    return version, _rewrap_all(keys)


def destroy(
    keys: DataKeyStore, masters: FileMasterKeys, master: str, now: datetime
) -> Sequence[MasterKeyStatus]:
    """Destroy a retired master key, and return the status of the others; `now` is UTC.

    Raises:
        MasterKeyInUse: it is current, or a publisher may still use it.
    """
    statuses = {status.version.master: status for status in master_key_statuses(keys, masters)}
    if master not in statuses:
        raise MasterKeyInUse(
            master, "is not in the directory; `termijn vault status` lists those that are"
        )
    retired_at = statuses[master].retired_at
    if retired_at is None:
        raise MasterKeyInUse(master, "is the current one; run `termijn vault rotate` first")
    if now - retired_at < _PUBLISHER_GRACE:
        problem = (
            f"was current until {retired_at:%H:%M:%S} UTC; wait ten minutes, since publishers may still"
            " use it"
        )
        raise MasterKeyInUse(master, problem)
    _rewrap_all(keys)  # keys that a publisher wrapped during the rotation
    masters.destroy(statuses[master].version)
    return master_key_statuses(keys, masters)


def _rewrap_all(keys: DataKeyStore) -> int:
    total = 0
    while rewrapped := keys.rewrap_chunk():
        total += rewrapped
    return total
