"""Replaying: a dead letter's original goes back as it came, with our word on when it arrived first.

Only who has the key of the dead letters can give that word, and it is good for this message alone: a
publisher who could choose an arrival could pass off any event as one of its time.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256

from services.crypto.envelope import AeadCipher, DecryptionFailed, OriginalMessage
from services.storage.dead_letters import DeadLetter

HEADER = "termijn-arrived"

Headers = Sequence[tuple[str, bytes]]


def headers_again(letter: DeadLetter, original: OriginalMessage, seal: AeadCipher) -> Headers:
    """The headers with which it goes back: its own, and when it arrived."""
    headers = _own(original.headers)
    arrived = (original.arrived or letter.at).isoformat().encode()
    place = _place(letter.topic, original.key, original.value, headers)
    return [
        *headers,
        (HEADER, f"{seal.key_id}:".encode() + b64encode(seal.encrypt_bytes(arrived, place))),
    ]


def arrived_first(
    topic: str,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    seal: AeadCipher,
) -> datetime | None:
    """When a message that was replayed arrived first; nothing for one that was not, whatever it says."""
    told = next((value for name, value in headers if name == HEADER), None)
    if told is None:
        return None
    key_id, _, sealed = told.decode("ascii", "replace").partition(":")
    try:
        place = _place(topic, key, value, _own(headers))
        return datetime.fromisoformat(seal.decrypt_bytes(b64decode(sealed), place, key_id).decode())
    except (DecryptionFailed, ValueError):
        return None


def _own(headers: Iterable[tuple[str, bytes | None]]) -> Headers:
    return [(name, value or b"") for name, value in headers if name != HEADER]


def _place(topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> str:
    """What the word is bound to: the topic, and all that the message says."""
    parts = (
        key or b"",
        value or b"",
        *(part for name, at in headers for part in (name.encode(), at)),
    )
    digest = sha256(b"".join(sha256(part).digest() for part in parts))
    return f"arrived/{topic}/{digest.hexdigest()}"
