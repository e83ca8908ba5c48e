"""Master keys, which wrap data keys: a file each in a directory, or keys of a KMS.

A destroyed data key is still in backups of the vault, wrapped. It is permanently lost once the master key
that wrapped it is destroyed with all its copies.
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
    """A data key cannot be unwrapped, since its master key is not in the directory.

    If the master key was destroyed on purpose, this vault is an old backup, and the operator restores a
    newer one. Otherwise the operator restores the master key.
    """

    def __init__(self, master: str) -> None:
        super().__init__(
            f"master key {master}: is not in the directory, so keys that it wraps cannot be decrypted;"
            " restore it"
        )
        self.master = master


class NoMasterKey(TermijnError):
    """There is no master key; nothing was encrypted.

    The operator mounts the directory that TERMIJN_MASTER_KEYS names, or creates the first one:
    `termijn vault rotate`.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"{directory}: has no master key; `termijn vault rotate` creates the first one"
        )
        self.directory = directory


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A data key as it is stored in the vault."""

    master: str
    """The id of the master key that wrapped it."""
    sealed: bytes = field(repr=False)


class MasterKeys(Protocol):
    """Wraps and unwraps data keys; a KMS does so without revealing the master key."""

    def current(self) -> str:
        """Return the id of the current master key, which wraps new data keys.

        Raises:
            NoMasterKey: there is no master key.
        """

    def wrap(self, secret: bytes, context: str) -> WrappedKey:
        """Wrap a data key, bound to a context."""

    def unwrap(self, wrapped: WrappedKey, context: str) -> bytes:
        """Return the unwrapped data key.

        Raises:
            MasterKeyNotFound: its master key is not in the directory.
            DecryptionFailed: it was altered, or has another context.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKeyVersion:
    """One master key in the directory."""

    number: int
    path: Path
    master: str
    """Its id: a hash that does not reveal the key."""
    made_at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMasterKeys:
    """Master keys in files, `0001.key` and so on; the last one is current. Their mode is checked."""

    directory: Path
    creates: bool = False
    """Whether the first one is created automatically, as with the embedded broker."""
    _ciphers: dict[tuple[Path, int], AeadCipher] = field(default_factory=dict, repr=False)

    def list_versions(self) -> list[MasterKeyVersion]:
        """Return all master keys of the directory, oldest first.

        Raises:
            InvalidKeyFile: one of them cannot be used.
        """
        versions = []
        for path in sorted(self.directory.glob(f"*{_SUFFIX}")):
            if path.stem.isdecimal():
                made_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                cipher = self._cipher(path)
                versions.append(
                    MasterKeyVersion(
                        number=int(path.stem), path=path, master=cipher.key_id, made_at=made_at
                    )
                )
        return sorted(versions, key=lambda version: version.number)

    def current(self) -> str:
        """Return the newest master key's id."""
        return self._newest().master

    def wrap(self, secret: bytes, context: str) -> WrappedKey:
        """Wrap a data key with the newest master key."""
        newest = self._newest()
        return WrappedKey(
            master=newest.master, sealed=self._cipher(newest.path).encrypt_bytes(secret, context)
        )

    def unwrap(self, wrapped: WrappedKey, context: str) -> bytes:
        """Unwrap a data key with the master key that wrapped it."""
        for version in self.list_versions():
            if version.master == wrapped.master:
                return self._cipher(version.path).decrypt_bytes(
                    wrapped.sealed, context, version.master
                )
        raise MasterKeyNotFound(wrapped.master)

    def add(self) -> MasterKeyVersion:
        """Create a master key, which is current from now on.

        Raises:
            InvalidKeyFile: the file cannot be created.
        """
        versions = self.list_versions()
        number = versions[-1].number + 1 if versions else _FIRST
        load_or_create_key(self.directory / f"{number:04}{_SUFFIX}")
        return self.list_versions()[-1]

    def destroy(self, version: MasterKeyVersion) -> None:
        """Overwrite a master key's file and delete it; the operator destroys its copies.

        Raises:
            InvalidKeyFile: it cannot be removed.
        """
        try:
            with version.path.open("r+b") as file:
                file.write(os.urandom(version.path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            version.path.unlink()
        except OSError as cause:
            raise InvalidKeyFile(version.path, f"cannot be destroyed: {cause}") from cause

    def _newest(self) -> MasterKeyVersion:
        versions = self.list_versions()
        if not versions and self.creates:
            return self.add()
        if not versions:
            raise NoMasterKey(self.directory)
        return versions[-1]

    def _cipher(self, path: Path) -> AeadCipher:
        file_version = (path, path.stat().st_mtime_ns)
        if file_version not in self._ciphers:
            self._ciphers[file_version] = read_key(path)
        return self._ciphers[file_version]
