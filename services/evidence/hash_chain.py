"""The hash chain of the evidence: canonical entries, each hashed with the hash before it, and signed heads.

An entry is one JSON object in ASCII: keys sorted by code point, no white space, other characters as
`\\uXXXX`, whole numbers only. Its hash is

    SHA-256( "termijn evidence 1" 0x00, the hash before it (32 bytes), the entry's bytes )

and the hash before the first is 32 zero bytes. A head is such an object too: `at`, `hash`, `number`, and
`root`, the Merkle root (`merkle`) of the entries after number `since`, where the head before it ended. It
is signed as a message on the topic `retention.evidence-heads.v1` without a key (`services.crypto.signing`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from schemas.cloudevents import format_rfc3339, parse_rfc3339
from schemas.topics import EVIDENCE_HEADS
from services.crypto.base64_text import encode_base64url
from services.crypto.keyring import JsonWebKey
from services.crypto.signing import KeyringSource, NoSigningKey, signed_bytes
from services.evidence import merkle

GENESIS: Final = bytes(32)
"""The hash before the first entry."""
_DOMAIN = b"termijn evidence 1\x00"
_HEAD_FIELDS = {"at", "hash", "number", "root", "since"}
_HEAD_FIELDS = {"at", "hash", "number", "root", "since"}
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Any) -> str:
    """The canonical form of every value in the log."""
    return _JSON.encode(value)


def entry_hash(before: bytes, entry: str) -> bytes:
    """Return the hash of an entry that follows the entry with the hash `before`."""
    return sha256(_DOMAIN + before + entry.encode("ascii")).digest()


def entry_leaf(entry: str) -> bytes:
    """Return the leaf of an entry in the Merkle tree of a head."""
    return merkle.hash_leaf(entry.encode("ascii"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of a chain at an instant, UTC."""

    number: int
    """The number of the last entry; 0 for an empty chain."""
    hash: bytes
    at: datetime
    since: int
    """The number of the last entry of the head before it; 0 for the first head."""
    root: bytes
    """The Merkle root of the entries after `since`."""

    def text(self) -> str:
        """The canonical JSON that is signed."""
        return canonical_json(
            {
                "at": format_rfc3339(self.at),
                "hash": self.hash.hex(),
                "number": self.number,
                "root": self.root.hex(),
                "since": self.since,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """A head with its signature, and the public key (Ed25519, base64url) that verifies it."""

    head: Head
    key_id: str
    x: str
    signature: bytes

    def as_json_line(self) -> str:
        """Return the head as one line of JSON without its public key, to export it or to save it."""
        return canonical_json(
            {
                "head": json.loads(self.head.text()),
                "key_id": self.key_id,
                "signature": encode_base64url(self.signature),
            }
        )


def sign(head: Head, ring: KeyringSource) -> SignedHead:
    """Sign a head with the newest key that is valid at its instant.

    Raises:
        NoSigningKey: no key is valid then.
    """
    key = ring().newest("sig", head.at)
    if key is None or key.private_key is None:
        raise NoSigningKey
    signature = key.private_key.sign(_signing_input(head.text()))
    return SignedHead(head=head, key_id=key.key_id, x=key.x, signature=signature)


def verify(head: Head, signature: bytes, key: JsonWebKey) -> None:
    """Check that a key has signed exactly this head.

    Raises:
        InvalidSignature: the key has not signed it.
    """
    if key.public_key is None:
        raise ValueError("an encryption key cannot sign")
    key.public_key.verify(signature, _signing_input(head.text()))


def parse_head(fields: Any) -> Head:
    """Return the head that a JSON object describes.

    Raises:
        ValueError, MalformedEvent: the object is not a head.
    """
    if not isinstance(fields, dict) or fields.keys() != _HEAD_FIELDS:
        raise ValueError("its head is not a head of an evidence log")
    number, since = fields["number"], fields["since"]
    texts = [fields[name] for name in ("at", "hash", "root")]
    if type(number) is not int or type(since) is not int or not 0 <= since <= number:
        raise ValueError("its head is not a head of an evidence log")
    if not all(type(text) is str for text in texts):
        raise ValueError("its head is not a head of an evidence log")
    at, hash, root = texts
    head = Head(
        number=number,
        hash=bytes.fromhex(hash),
        at=parse_rfc3339(at),
        since=since,
        root=bytes.fromhex(root),
    )
    if canonical_json(fields) != head.text():
        raise ValueError("its head is not canonical JSON")
    return head


def _signing_input(text: str) -> bytes:
    return signed_bytes(EVIDENCE_HEADS.name, None, text.encode("ascii"))
