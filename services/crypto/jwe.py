"""JWE (RFC 7516): encryption of personal data for one reader, such as an answer to a request for access.

X25519 (ECDH-ES+A256KW) with A256GCM, for which every language has a library. The protected header names
what the text is about, so that one disclosure cannot be exchanged for another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from schemas.errors import TermijnError

_ALGORITHMS = ["ECDH-ES+A256KW", "A256GCM"]
_REGISTRY = jwe.JWERegistry(algorithms=_ALGORITHMS)
_CURVE: Final = "X25519"


class DisclosureUndecryptable(TermijnError):
    """A disclosure cannot be decrypted: another key, about something else, or altered; nothing was used.

    The operator asks the system to send it again.
    """

    def __init__(self, context: str) -> None:
        super().__init__(
            f"{context}: the disclosure cannot be decrypted with its key; have the system send it again"
        )
        self.context = context


def new_key() -> str:
    """Return a new X25519 key with its private part, as JWK text."""
    return _text(OKPKey.generate_key(_CURVE).as_dict(private=True))


def to_public(key: str) -> str:
    """Return the public part of a key, as JWK text."""
    return _text(_key(key).as_dict(private=False))


def encrypt(content: Mapping[str, Any], public_key: str, context: str) -> str:
    """Encrypt JSON content for the owner of a public key, bound to `context`.

    Raises:
        ValueError: `public_key` is not an X25519 key.
    """
    header = {"alg": _ALGORITHMS[0], "enc": _ALGORITHMS[1], "kid": context}
    plaintext = json.dumps(content, ensure_ascii=False, default=str).encode()
    return jwe.encrypt_compact(header, plaintext, _key(public_key), registry=_REGISTRY)


def decrypt(text: str, key: str, context: str) -> Mapping[str, Any]:
    """Return the decrypted content.

    Raises:
        DisclosureUndecryptable: it cannot be decrypted, is about something else, or is not a JSON object.
    """
    try:
        decrypted = jwe.decrypt_compact(text, _key(key), registry=_REGISTRY)
        content = json.loads(decrypted.plaintext or b"", parse_constant=_reject_constant)
    except (JoseError, ValueError, RecursionError) as cause:
        raise DisclosureUndecryptable(context) from cause
    if decrypted.protected.get("kid") != context or not isinstance(content, dict):
        raise DisclosureUndecryptable(context)
    return content


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _key(text: str) -> OKPKey:
    try:
        fields = json.loads(text)
        if fields.get("crv") != _CURVE:
            raise ValueError("is not an X25519 key")
        return OKPKey.import_key(fields)
    except (JoseError, AttributeError, TypeError) as cause:
        raise ValueError("is not an X25519 key") from cause


def _text(fields: Mapping[str, Any]) -> str:
    return json.dumps(dict(fields), sort_keys=True)
