"""Key directory: keyrings in files, which are read again when they change.

<owner>.private.jwks      private keys of the owner, mode 0600
<owner>.jwks              their public parts, for the others; in an agent's directory those of the deleter
systems/<system>.jwks     public keys of each system, to verify its acknowledgements
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from schemas.errors import PlacedError
from services.crypto.keyring import InvalidKey, JsonWebKey, Keyring, new_key, parse_keyring
from services.crypto.signing import Signer, Verifier
from services.storage.files import is_open_to_all, write_whole_file

DELETER: Final = "deleter"
"""The owner whose keys sign commands."""


class InvalidKeyring(PlacedError):
    """A file with keys is missing, unreadable or invalid; nothing was signed or verified.

    The operator restores the right file, or creates it: `termijn keys make`, `termijn keys trust`.
    """


class KeyringFile:
    """The keyring in a file, read again when the file has changed."""

    def __init__(self, path: Path, *, private: bool = False, optional: bool = False) -> None:
        """With `private` the file must hold private keys, else public ones; `optional`: or be missing."""
        self.path = path
        self._private = private
        self._optional = optional
        self._version: tuple[int, int, int] | None = None
        self._ring = Keyring()

    def __call__(self) -> Keyring:
        """Return the current keyring of the file.

        Raises:
            InvalidKeyring: the file cannot be used.
        """
        try:
            stat = self.path.stat()
        except FileNotFoundError as cause:
            if self._optional:
                self._version, self._ring = None, Keyring()
                return self._ring
            raise InvalidKeyring(self.path, "does not exist") from cause
        except OSError as cause:
            raise InvalidKeyring(self.path, f"cannot be read: {cause}") from cause
        version = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if version != self._version:
            self._ring = self._read()
            self._version = version
        return self._ring

    def _read(self) -> Keyring:
        try:
            mode = self.path.stat().st_mode
            ring = parse_keyring(self.path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as cause:
            raise InvalidKeyring(self.path, f"cannot be read: {cause}") from cause
        except InvalidKey as cause:
            raise InvalidKeyring(self.path, cause.why) from cause
        if self._private and is_open_to_all(mode):
            raise InvalidKeyring(
                self.path, "can be accessed by every user of this machine; give it mode 0600"
            )
        if any(key.is_private != self._private for key in ring):
            raise InvalidKeyring(
                self.path,
                "has a key without its private part"
                if self._private
                else "has a private key; only public keys belong here",
            )
        return ring


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDirectory:
    """A directory of keyring files."""

    path: Path

    def private(self, owner: str = DELETER) -> KeyringFile:
        """Return the file of an owner's private keys."""
        return KeyringFile(self.path / f"{owner}.private.jwks", private=True)

    def public(self, owner: str = DELETER) -> KeyringFile:
        """Return the file of an owner's public keys."""
        return KeyringFile(self.path / f"{owner}.jwks")

    def system(self, system: str) -> KeyringFile:
        """Return the file of a system's public keys; without a file it has none."""
        return KeyringFile(self.path / "systems" / f"{system}.jwks", optional=True)

    def signer(self, owner: str = DELETER) -> Signer:
        """Return a signer with an owner's private keys.

        Raises:
            InvalidKeyring: its private keys cannot be used.
        """
        file = self.private(owner)
        file()
        return Signer(file)

    def verifier(self, owner: str = DELETER) -> Verifier:
        """Return a verifier of an owner's messages, by its public keys.

        Raises:
            InvalidKeyring: they cannot be used.
        """
        file = self.public(owner)
        file()
        return Verifier(file)

    def system_verifier(self, system: str) -> Verifier:
        """Return a verifier of a system's acknowledgements; without trusted keys it accepts none.

        Raises:
            InvalidKeyring: its keys cannot be used.
        """
        file = self.system(system)
        file()
        return Verifier(file)

    def list_owners(self) -> list[str]:
        """Return the owners whose private keys are in this directory."""
        suffix = ".private.jwks"
        return sorted(path.name.removesuffix(suffix) for path in self.path.glob(f"*{suffix}"))

    def create(self, owner: str = DELETER) -> Keyring:
        """Return the private keyring of an owner; create it and its public part if it does not exist.

        A new keyring has one signing key. Processes that create it at once all use the first one's.

        Raises:
            InvalidKeyring: the file cannot be created, or cannot be used.
        """
        file = self.private(owner)
        if not file.path.exists():
            _write(file.path, Keyring((new_key(),)).as_json(), private=True, exclusive=True)
        ring = file()
        if not self.public(owner).path.exists():
            self._publish_public_keys(owner, ring)
        return ring

    def add_encryption(self, owner: str) -> Keyring:
        """Add a new encryption key to an owner's keyring, and return the keyring.

        Raises:
            InvalidKeyring: the owner has no ring, or it cannot be written.
        """
        ring = self.private(owner)().with_key(new_key("enc"))
        _write(self.private(owner).path, ring.as_json(), private=True)
        self._publish_public_keys(owner, ring)
        return ring

    def rotate(self, owner: str, at: datetime, until: datetime) -> JsonWebKey:
        """Create a signing key valid from `at`; earlier keys are valid until `until` at most (UTC).

        Raises:
            InvalidKeyring: the owner has no ring, or it cannot be written.
        """
        new = new_key("sig", at.replace(microsecond=0))
        ring = Keyring(
            tuple(
                key.with_expiry(until.replace(microsecond=0)) if key.use == "sig" else key
                for key in self.private(owner)()
            )
        ).with_key(new)
        self._publish_public_keys(
            owner, ring
        )  # first: verifiers should have the new key before it signs
        _write(self.private(owner).path, ring.as_json(), private=True)
        return new

    def trust(self, system: str, ring: Keyring) -> Keyring:
        """Trust these public keys of a system too, and return all that are trusted.

        Raises:
            InvalidKeyring: they cannot be written.
        """
        trusted = self.system(system)()
        updated = trusted
        for key in ring.public():
            updated = updated.with_key(key)
        if updated != trusted:
            _write(self.system(system).path, updated.as_json())
        return updated

    def retire(self, key_id: str) -> list[str]:
        """Remove a key from every keyring that contains it, and return the names of those.

        Raises:
            InvalidKeyring: a ring cannot be used or written.
        """
        owners = [owner for owner in self.list_owners() if self.private(owner)().get(key_id)]
        for owner in owners:
            ring = self.private(owner)().without(key_id)
            _write(self.private(owner).path, ring.as_json(), private=True)
            self._publish_public_keys(owner, ring)
        systems = [
            path.stem
            for path in sorted((self.path / "systems").glob("*.jwks"))
            if self.system(path.stem)().get(key_id)
        ]
        for system in systems:
            _write(self.system(system).path, self.system(system)().without(key_id).as_json())
        return owners + [f"systems/{system}" for system in systems]

    def _publish_public_keys(self, owner: str, ring: Keyring) -> None:
        _write(self.public(owner).path, ring.public().as_json())


def _write(path: Path, text: str, *, private: bool = False, exclusive: bool = False) -> None:
    try:
        write_whole_file(path, text, private=private, exclusive=exclusive)
    except OSError as cause:
        raise InvalidKeyring(path, f"cannot be written: {cause}") from cause
