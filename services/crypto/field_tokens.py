"""Field tokens: an encrypted text as the value of a field.

    enc:v1:<key id>:<sealed>[,<key id>:<sealed>...]

Each part is the whole text encrypted with one key (AES-256-GCM): any of the keys decrypts it. `<sealed>`
is base64url, without padding, of the nonce (12 bytes), the ciphertext and the tag (16 bytes). The
additional data is the text "termijn field 1", a zero byte, and then schema name, place, subject, system
and key id, each as its length (4 bytes, big-endian) and its bytes in UTF-8. The nonce follows from key,
additional data and text, so that an event that is published again is the same event.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import PlacedError
from services.crypto.base64_text import encode_base64url

_DOMAIN = b"termijn field 1\x00"
_NONCE_DOMAIN = b"termijn nonce 1"
_NONCE_BYTES = 12
_PREFIX = "enc:v1:"
_PART = r"[A-Za-z0-9_-]{22}:[A-Za-z0-9_-]+"
_TOKEN = re.compile(rf"{_PREFIX}{_PART}(,{_PART})*")


class TokenTampered(PlacedError):
    """A token cannot be decrypted with its own key: it was altered, or moved to another field.

    Nothing of it is shown. The operator checks who else writes to that topic.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldLocation:
    """The field and event that a token is bound to."""

    schema: str
    path: str
    """With the index of each list: `lines[0].product`."""
    subject: str
    """The data subject, `kind:id`."""

    def associated_data(self, system: str, key_id: str) -> bytes:
        """Return the associated data of a part."""
        texts = (self.schema, self.path, self.subject, system, key_id)
        return _DOMAIN + b"".join(map(_length_prefixed, texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldKey:
    """A data key with its id and system."""

    system: str
    key_id: str
    secret: bytes = field(repr=False)


def encrypt_text(text: str, location: FieldLocation, field_keys: Sequence[FieldKey]) -> str:
    """Return the token of a text, encrypted once with each key."""
    parts = (
        f"{field_key.key_id}:{_encrypt_part(text.encode(), location, field_key)}"
        for field_key in field_keys
    )
    return _PREFIX + ",".join(parts)


def is_token(value: object) -> bool:
    """Return whether a whole value is a token; a text that only begins like one is plaintext."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def key_ids(token: str, path: str) -> tuple[str, ...]:
    """Return the ids of the keys that a token names.

    Raises:
        TokenTampered: the text is not a token.
    """
    return tuple(key_id for key_id, _ in _parts(token, path))


def decrypt_token(token: str, location: FieldLocation, field_keys: Iterable[FieldKey]) -> str:
    """Return the text of a token, decrypted with the first of these keys that it names.

    Raises:
        TokenTampered: it was altered, moved, or names none of these keys.
    """
    keys = {field_key.key_id: field_key for field_key in field_keys}
    for key_id, ciphertext in _parts(token, location.path):
        if key_id in keys:
            return _decrypt_part(ciphertext, location, keys[key_id])
    raise TokenTampered(location.path, "the token names none of the keys that are here")


def _parts(token: str, path: str) -> list[tuple[str, str]]:
    if not _TOKEN.fullmatch(token):
        raise TokenTampered(path, "is not a complete token")
    pairs = (part.split(":") for part in token.removeprefix(_PREFIX).split(","))
    return [(key_id, sealed) for key_id, sealed in pairs]


def _encrypt_part(text: bytes, location: FieldLocation, field_key: FieldKey) -> str:
    associated_data = location.associated_data(field_key.system, field_key.key_id)
    nonce_key = hmac.digest(field_key.secret, _NONCE_DOMAIN, "sha256")
    nonce = hmac.digest(nonce_key, associated_data + text, "sha256")[:_NONCE_BYTES]
    ciphertext = nonce + AESGCM(field_key.secret).encrypt(nonce, text, associated_data)
    return encode_base64url(ciphertext)


def _decrypt_part(sealed: str, location: FieldLocation, field_key: FieldKey) -> str:
    try:
        decoded = base64.b64decode(sealed + "=" * (-len(sealed) % 4), b"-_", validate=True)
        nonce, ciphertext = decoded[:_NONCE_BYTES], decoded[_NONCE_BYTES:]
        associated_data = location.associated_data(field_key.system, field_key.key_id)
        return AESGCM(field_key.secret).decrypt(nonce, ciphertext, associated_data).decode()
    except (InvalidTag, ValueError) as cause:
        raise TokenTampered(
            location.path, "cannot be decrypted: it was altered, or moved from another place"
        ) from cause


def _length_prefixed(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(4, "big") + data
