"""Keyrings: JSON Web Keys (RFC 7517, RFC 8037) that sign, verify and decrypt.

Ed25519 keys sign (`use: sig`), X25519 keys are for encryption (`use: enc`). A key's id is its thumbprint
(RFC 7638). `nbf` and `exp` are the epoch seconds from and until which it is valid; without them it is
always valid.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from schemas.errors import TermijnError
from services.crypto.base64_text import encode_base64url

Use = Literal["sig", "enc"]
_CURVES: Mapping[str, Use] = {"Ed25519": "sig", "X25519": "enc"}
_CURVE_OF: Mapping[Use, Literal["Ed25519", "X25519"]] = {"sig": "Ed25519", "enc": "X25519"}
_ALGORITHMS = ("EdDSA", "Ed25519")
_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)


class InvalidKey(TermijnError):
    """A text is not a JWK or JWK Set that Termijn can use; nothing of it was used.

    The operator fixes the key that the error names, or asks its owner for another.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonWebKey:
    """One key; its private part, if it has one, never shows in a `repr`."""

    key_id: str
    """Its RFC 7638 thumbprint, 43 characters."""
    use: Use
    not_before: datetime | None = None
    """When it becomes valid, UTC."""
    expires_at: datetime | None = None
    """When it stops being valid, UTC."""
    x: str
    """The public part, base64url."""
    d: str | None = field(default=None, repr=False)
    """The private part, base64url."""
    private_key: Ed25519PrivateKey | None = field(default=None, repr=False, compare=False)
    public_key: Ed25519PublicKey | None = field(default=None, repr=False, compare=False)

    @property
    def is_private(self) -> bool:
        """Whether it has its private part."""
        return self.d is not None

    def is_valid_at(self, at: datetime) -> bool:
        """Return whether the key is valid at an instant, UTC."""
        return (self.not_before or at) <= at and (self.expires_at is None or at < self.expires_at)

    def public(self) -> JsonWebKey:
        """Return the key without its private part."""
        return replace(self, d=None, private_key=None)

    def with_expiry(self, at: datetime) -> JsonWebKey:
        """Return the key, valid until an instant (UTC) at most."""
        return replace(self, expires_at=min(at, self.expires_at or at))

    def as_jwk(self) -> dict[str, str | int]:
        """Return the key as a JWK, including its private part if it has one."""
        fields: dict[str, str | int] = {"kty": "OKP", "crv": _CURVE_OF[self.use], "x": self.x}
        fields |= {"use": self.use, "kid": self.key_id}
        if self.not_before is not None:
            fields["nbf"] = int(self.not_before.timestamp())
        if self.expires_at is not None:
            fields["exp"] = int(self.expires_at.timestamp())
        if self.d is not None:
            fields["d"] = self.d
        return fields


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of one owner, the newest last."""

    keys: tuple[JsonWebKey, ...] = ()

    def __iter__(self) -> Iterator[JsonWebKey]:
        return iter(self.keys)

    def get(self, key_id: str) -> JsonWebKey | None:
        """Return the key of an id, if there is one."""
        return next((key for key in self.keys if key.key_id == key_id), None)

    def newest(self, use: Use, at: datetime) -> JsonWebKey | None:
        """Return, of the keys valid at an instant, the one that became valid last."""
        valid = [key for key in self.keys if key.use == use and key.is_valid_at(at)]
        return max(reversed(valid), key=lambda key: key.not_before or _EPOCH_START, default=None)

    def encryption_key(self, at: datetime) -> str | None:
        """Return the public X25519 key for corrections to the owner, as JWK text."""
        key = self.newest("enc", at)
        return json.dumps(key.public().as_jwk(), sort_keys=True) if key else None

    def with_key(self, key: JsonWebKey) -> Keyring:
        """Return the keyring with a key added, or replaced if its id is there."""
        return Keyring((*self.without(key.key_id), key))

    def without(self, key_id: str) -> Keyring:
        """Return the keyring without a key."""
        return Keyring(tuple(key for key in self.keys if key.key_id != key_id))

    def public(self) -> Keyring:
        """Return the keyring without private parts."""
        return Keyring(tuple(key.public() for key in self.keys))

    def as_json(self) -> str:
        """Return the keyring as a JWK Set, including private parts."""
        return json.dumps({"keys": [key.as_jwk() for key in self.keys]}, indent=2) + "\n"


def new_key(use: Use = "sig", not_before: datetime | None = None) -> JsonWebKey:
    """Return a new key with its private part; `not_before` is UTC."""
    key = OKPKey.generate_key(_CURVE_OF[use], private=True)
    fields: dict[str, Any] = dict(key.as_dict(private=True))
    if not_before is not None:
        fields["nbf"] = int(not_before.timestamp())
    return _key_from_jwk(fields)


def parse_keyring(text: str) -> Keyring:
    """Return the keys of a JWK or a JWK Set; keys that are neither Ed25519 nor X25519 are skipped.

    Raises:
        InvalidKey: the text is neither, a key is invalid, or a key occurs twice.
    """
    try:
        document = json.loads(text)
    except RecursionError as cause:
        raise InvalidKey("is not JSON: it is nested too deeply") from cause
    except ValueError as cause:
        raise InvalidKey(f"is not JSON: {cause}") from cause
    if not isinstance(document, dict):
        raise InvalidKey("is neither a JWK nor a JWK Set")
    keys: list[JsonWebKey] = []
    for number, fields in enumerate(_key_documents(document), start=1):
        if fields.get("kty") == "OKP" and str(fields.get("crv")) in _CURVES:
            try:
                keys.append(_key_from_jwk(fields))
            except InvalidKey as cause:
                raise InvalidKey(f"key {number}: {cause.why}") from cause
    if len({key.key_id for key in keys}) != len(keys):
        raise InvalidKey("contains the same key twice")
    return Keyring(tuple(keys))


def _key_documents(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    documents = document.get("keys", [document])
    if not isinstance(documents, list) or not all(
        isinstance(key_document, dict) for key_document in documents
    ):
        raise InvalidKey("is neither a JWK nor a JWK Set")
    return documents


def _key_from_jwk(fields: Mapping[str, Any]) -> JsonWebKey:
    use = _CURVES[fields["crv"]]
    if fields.get("use", use) != use:
        raise InvalidKey(f"`use` of {fields['crv']} must be {use!r}, got {fields['use']!r}")
    if use == "sig" and fields.get("alg", _ALGORITHMS[0]) not in _ALGORITHMS:
        raise InvalidKey(f"`alg` of Ed25519 must be {_ALGORITHMS[0]!r}, got {fields['alg']!r}")
    not_before, expires_at = _instant(fields, "nbf"), _instant(fields, "exp")
    if not_before and expires_at and expires_at <= not_before:
        raise InvalidKey("expires before it becomes valid")
    try:
        key_fields = {name: fields[name] for name in ("kty", "crv", "x", "d") if name in fields}
        key = OKPKey.import_key(key_fields)
        public, private = key.public_key, key.private_key
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as cause:
        raise InvalidKey("lacks a part that its curve needs, or has an invalid one") from cause
    if encode_base64url(public.public_bytes_raw()) != fields["x"]:  # else it had another thumbprint
        raise InvalidKey("`x` is not the public part of `d`")
    key_id = str(key.thumbprint())
    if fields.get("kid", key_id) != key_id:
        raise InvalidKey(f"`kid` must be its RFC 7638 thumbprint, {key_id}")
    return JsonWebKey(
        key_id=key_id,
        use=use,
        not_before=not_before,
        expires_at=expires_at,
        x=fields["x"],
        d=fields.get("d"),
        private_key=private if isinstance(private, Ed25519PrivateKey) else None,
        public_key=public if isinstance(public, Ed25519PublicKey) else None,
    )


def _instant(fields: Mapping[str, Any], name: str) -> datetime | None:
    value = fields.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("not a whole number")
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as cause:
        raise InvalidKey(f"`{name}` is not a number of seconds since 1970") from cause
