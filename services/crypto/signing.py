"""Signatures of messages on Kafka: Ed25519 (RFC 8032) over topic, key and value, in two headers.

`termijn-key-id` is the ASCII thumbprint of the key, `termijn-signature` the 64 bytes of the signature over

    "termijn signature 1" 0x00, then topic, message key and value,
    each as its length in 4 bytes, big-endian, and its bytes; a null has the length 0xffffffff and no bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

from cryptography.exceptions import InvalidSignature

from schemas.errors import TermijnError
from services.crypto.keyring import Keyring

KEY_ID: Final = "termijn-key-id"
SIGNATURE: Final = "termijn-signature"
_DOMAIN = b"termijn signature 1\x00"
_NULL = b"\xff\xff\xff\xff"

Reason = Literal["unsigned", "ambiguous", "unknown-key", "expired-key", "forged"]
Headers = Sequence[tuple[str, bytes]]
KeyringSource = Callable[[], Keyring]
"""Returns the keyring; called each time, since keys may be rotated while a role runs."""


class SignatureInvalid(TermijnError):
    """A message has no valid signature of its expected sender; nothing of it was used.

    `unsigned`: it has no signature; `ambiguous`: it has several; `unknown-key`: the key is not trusted;
    `expired-key`: the key is not valid now; `forged`: the message was altered, or was sent to another
    topic. The operator checks who wrote it, and whether that system's keys are trusted
    (`termijn keys list`).
    """

    def __init__(self, reason: Reason, key_id: str | None = None) -> None:
        key = f" (key {key_id})" if key_id else ""
        super().__init__(f"signature: cannot be verified: {reason}{key}")
        self.reason = reason
        self.key_id = key_id


class NoSigningKey(TermijnError):
    """There is no signing key that is valid now; nothing was sent.

    The operator creates one: `termijn keys make`, or `termijn keys rotate` where the last one has expired.
    """

    def __init__(self) -> None:
        super().__init__("signing key: none is valid now; `termijn keys rotate` creates one")


class SignerProtocol(Protocol):
    """Signs outgoing messages."""

    def sign(self, topic: str, key: bytes | None, value: bytes | None, now: datetime) -> Headers:
        """Return the headers of a signed message; `now` is UTC. Raises `NoSigningKey`."""


class VerifierProtocol(Protocol):
    """Verifies incoming messages."""

    def verify(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
        now: datetime,
    ) -> str:
        """Return the id of the key that signed a message; `now` is UTC. Raises `SignatureInvalid`."""


class Signer:
    """Signs with the newest valid key."""

    def __init__(self, ring: KeyringSource) -> None:
        self._ring = ring

    def sign(self, topic: str, key: bytes | None, value: bytes | None, now: datetime) -> Headers:
        """Return the headers of a signed message; `now` is UTC.

        Raises:
            NoSigningKey: no signing key of the keyring is valid now.
        """
        signing_key = self._ring().newest("sig", now)
        if signing_key is None or signing_key.private_key is None:
            raise NoSigningKey
        signature = signing_key.private_key.sign(signed_bytes(topic, key, value))
        return ((KEY_ID, signing_key.key_id.encode()), (SIGNATURE, signature))


class Verifier:
    """Verifies with the keys of one owner that are valid now."""

    def __init__(self, ring: KeyringSource) -> None:
        self._ring = ring

    def verify(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
        now: datetime,
    ) -> str:
        """Return the id of the key that signed a message; `now` is UTC.

        Raises:
            SignatureInvalid: no valid key of the keyring signed exactly this message.
        """
        ids = [header for name, header in headers if name == KEY_ID]
        signatures = [header for name, header in headers if name == SIGNATURE]
        if len(ids) > 1 or len(signatures) > 1:
            raise SignatureInvalid("ambiguous")
        if not ids or not signatures or ids[0] is None or signatures[0] is None:
            raise SignatureInvalid("unsigned")
        trusted_key = self._ring().get(ids[0].decode("ascii", "replace"))
        if trusted_key is None or trusted_key.public_key is None:
            raise SignatureInvalid("unknown-key")
        if not trusted_key.is_valid_at(now):
            raise SignatureInvalid("expired-key", trusted_key.key_id)
        try:
            trusted_key.public_key.verify(signatures[0], signed_bytes(topic, key, value))
        except InvalidSignature as cause:
            raise SignatureInvalid("forged", trusted_key.key_id) from cause
        return trusted_key.key_id


class NoSigning:
    """Neither signs nor verifies: for trials only, by a setting."""

    def sign(self, topic: str, key: bytes | None, value: bytes | None, now: datetime) -> Headers:
        """Return no headers."""
        return ()

    def verify(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
        now: datetime,
    ) -> str:
        """Return no key id: every message is accepted."""
        return ""


def signed_bytes(topic: str, key: bytes | None, value: bytes | None) -> bytes:
    """Return the bytes that a signature covers; they differ for any two messages."""
    return b"".join(
        (
            _DOMAIN,
            *_length_prefixed(topic.encode()),
            *_length_prefixed(key),
            *_length_prefixed(value),
        )
    )


def _length_prefixed(data: bytes | None) -> tuple[bytes, bytes]:
    return (_NULL, b"") if data is None else (len(data).to_bytes(4, "big"), data)
