"""The signing keys of a process, as the settings configure them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.crypto.key_directory import DELETER, InvalidKeyring, KeyDirectory
from services.crypto.signing import NoSigning, SignerProtocol, VerifierProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningConfig:
    """Signers and verifiers of one process."""

    keys: KeyDirectory
    creates_keys: bool
    """Whether missing keys are created: on embedded defaults only."""
    required: bool
    """Whether messages are signed and verified; if not, anyone can command an erasure."""

    def signer(self) -> SignerProtocol:
        """Return the signer of commands.

        Raises:
            InvalidKeyring: the deleter's keys cannot be used.
        """
        if not self.required:
            return NoSigning()
        if self.creates_keys:
            self.keys.create()
        return self.keys.signer()

    def command_verifier(self) -> VerifierProtocol:
        """Return the verifier of commands.

        Raises:
            InvalidKeyring: the deleter's public keys cannot be used.
        """
        if not self.required:
            return NoSigning()
        if self.creates_keys:
            self.keys.create()
        return self.keys.verifier(DELETER)

    def acknowledgement_verifiers(self, systems: Iterable[str]) -> Mapping[str, VerifierProtocol]:
        """Return the verifier of each system's acknowledgements.

        Raises:
            InvalidKeyring: the keys of one cannot be used; having none is not an error.
        """
        if not self.required:
            return dict.fromkeys(systems, NoSigning())
        return {system: self.keys.system_verifier(system) for system in systems}

    def encryption_key(self, system: str, now: datetime) -> str | None:
        """Return the public key that encrypts corrections for a system, as JWK text, if it has one.

        Raises:
            InvalidKeyring: its keys cannot be used.
        """
        return self.keys.system(system)().encryption_key(now)

    def systems_without_keys(self, systems: Iterable[str], now: datetime) -> list[str]:
        """Return the systems without a valid key: their acknowledgements cannot be verified."""
        if not self.required:
            return []
        return [system for system in systems if not self._has_key(system, now)]

    def _has_key(self, system: str, now: datetime) -> bool:
        try:
            return self.keys.system(system)().newest("sig", now) is not None
        except InvalidKeyring:
            return False

    def simulated_signers(self, systems: Iterable[str]) -> Mapping[str, SignerProtocol]:
        """Return the signers of simulated systems; where keys are created, theirs are created and trusted.

        Raises:
            InvalidKeyring: the keys of one cannot be used.
        """
        if not self.required:
            return dict.fromkeys(systems, NoSigning())
        signers: dict[str, SignerProtocol] = {}
        for system in systems:
            if self.creates_keys:
                ring = self.keys.create(system)
                if not any(key.use == "enc" for key in ring):
                    ring = self.keys.add_encryption(system)
                self.keys.trust(system, ring)
            signers[system] = self.keys.signer(system)
        return signers

    def simulated_private_key(self, system: str, now: datetime) -> str | None:
        """Return the private key that decrypts corrections of a simulated system, as JWK text, if any."""
        if system not in self.keys.list_owners():
            return None
        key = self.keys.private(system)().newest("enc", now)
        return json.dumps(key.as_jwk()) if key else None
