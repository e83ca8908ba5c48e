"""Master keys: what wraps data keys. A file each in a directory, or whatever a KMS keeps.

A data key that was destroyed still lies, wrapped, in backups of the vault. It is gone for good once the
master key that wrapped it is destroyed, wherever that was kept.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from schemas.errors import TermijnError
from services.crypto.envelope import AeadCipher, InvalidKeyFile, load_or_create_key, read_key

_SUFFIX = ".key"
_FIRST = 1


class MasterKeyNotFound(TermijnError):
    """A data key was wrapped under a master key that is not here: it cannot be opened.

    Where the master key was destroyed that is meant: the vault at hand is an old backup, and the operator
    puts back a newer one. Else the operator puts the master key back.
    """

    def __init__(self, master: str) -> None:
        super().__init__(f"the master key {master} is not here: what it wraps does not open")
        self.master = master


class NoMasterKey(TermijnError):
    """There is no master key; nothing was encrypted.

    The operator mounts the directory that TERMIJN_MASTER_KEYS names, or makes the first one:
    `termijn vault rotate`.
    """

    def __init__(self, where: Path) -> None:
        super().__init__(
            f"{where}: holds no master key; `termijn vault rotate` makes the first one"
        )
        self.where = where


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A data key as it lies in the vault."""

    master: str
    """The id of the master key that opens it."""
    sealed: bytes = field(repr=False)


class MasterKeys(Protocol):
    """What wraps and opens data keys; a KMS does it without giving the master key away."""

    def current(self) -> str:
        """The id of the master key that wraps now.

        Raises:
            NoMasterKey: there is none.
        """

    def wrap(self, secret: bytes, place: str) -> WrappedKey:
        """Wrap a data key; it opens only as what belongs at `place`."""

    def unwrap(self, wrapped: WrappedKey, place: str) -> bytes:
        """The data key.

        Raises:
            MasterKeyNotFound: its master key is not here.
            DecryptionFailed: it was altered, or belongs elsewhere.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKeyVersion:
    """One master key in the directory."""

    number: int
    path: Path
    master: str
    """Its id: a hash, which gives nothing of it away."""
    made_at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMasterKeys:
    """Master keys as files, `0001.key` and so on; the last one wraps. Their mode is checked."""

    directory: Path
    makes: bool = False
    """Whether the first one is made where there is none: on embedded defaults."""
    _seals: dict[tuple[Path, int], AeadCipher] = field(default_factory=dict, repr=False)

    def generations(self) -> list[MasterKeyVersion]:
        """All that are here, oldest first.

        Raises:
            InvalidKeyFile: one of them cannot be used.
        """
        found = []
        for path in sorted(self.directory.glob(f"*{_SUFFIX}")):
            if path.stem.isdecimal():
                made_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                seal = self._seal(path)
                found.append(
                    MasterKeyVersion(
                        number=int(path.stem), path=path, master=seal.key_id, made_at=made_at
                    )
                )
        return sorted(found, key=lambda one: one.number)

    def current(self) -> str:
        """The newest one's id."""
        return self._newest().master

    def wrap(self, secret: bytes, place: str) -> WrappedKey:
        """Wrap under the newest one."""
        newest = self._newest()
        return WrappedKey(master=newest.master, sealed=self._seal(newest.path).wrap(secret, place))

    def unwrap(self, wrapped: WrappedKey, place: str) -> bytes:
        """Open under the one that wrapped."""
        for one in self.generations():
            if one.master == wrapped.master:
                return self._seal(one.path).unwrap(wrapped.sealed, place, one.master)
        raise MasterKeyNotFound(wrapped.master)

    def add(self) -> MasterKeyVersion:
        """Make one that wraps from now on.

        Raises:
            InvalidKeyFile: it cannot be made.
        """
        there = self.generations()
        number = there[-1].number + 1 if there else _FIRST
        load_or_create_key(self.directory / f"{number:04}{_SUFFIX}")
        return self.generations()[-1]

    def destroy(self, generation: MasterKeyVersion) -> None:
        """Overwrite one and remove it; copies of it elsewhere are the operator's to destroy.

        Raises:
            InvalidKeyFile: it cannot be removed.
        """
        try:
            with generation.path.open("r+b") as file:
                file.write(os.urandom(generation.path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            generation.path.unlink()
        except OSError as cause:
            raise InvalidKeyFile(generation.path, f"cannot be destroyed: {cause}") from cause

    def _newest(self) -> MasterKeyVersion:
        there = self.generations()
        if not there and self.makes:
            return self.add()
        if not there:
            raise NoMasterKey(self.directory)
        return there[-1]

    def _seal(self, path: Path) -> AeadCipher:
        seen = (path, path.stat().st_mtime_ns)
        if seen not in self._seals:
            self._seals[seen] = read_key(path)
        return self._seals[seen]
