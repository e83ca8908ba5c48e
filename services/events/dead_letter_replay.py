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

ARRIVAL_HEADER = "termijn-arrived"

Headers = Sequence[tuple[str, bytes]]


def replay_headers(letter: DeadLetter, original: OriginalMessage, cipher: AeadCipher) -> Headers:
    """The headers with which it goes back: its own, and when it arrived."""
    headers = _without_arrival(original.headers)
    arrived_at = (original.arrived or letter.at).isoformat().encode()
    context = _binding_context(letter.topic, original.key, original.value, headers)
    return [
        *headers,
        (
            ARRIVAL_HEADER,
            f"{cipher.key_id}:".encode() + b64encode(cipher.encrypt_bytes(arrived_at, context)),
        ),
    ]


def first_arrival(
    topic: str,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    cipher: AeadCipher,
) -> datetime | None:
    """When a message that was replayed arrived first; nothing for one that was not, whatever it says."""
    header = next((value for name, value in headers if name == ARRIVAL_HEADER), None)
    if header is None:
        return None
    key_id, _, encrypted = header.decode("ascii", "replace").partition(":")
    try:
        context = _binding_context(topic, key, value, _without_arrival(headers))
        return datetime.fromisoformat(
            cipher.decrypt_bytes(b64decode(encrypted), context, key_id).decode()
        )
    except (DecryptionFailed, ValueError):
        return None


def _without_arrival(headers: Iterable[tuple[str, bytes | None]]) -> Headers:
    return [(name, value or b"") for name, value in headers if name != ARRIVAL_HEADER]


def _binding_context(topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> str:
    """What the word is bound to: the topic, and all that the message says."""
    parts = (
        key or b"",
        value or b"",
        *(part for name, content in headers for part in (name.encode(), content)),
    )
    digest = sha256(b"".join(sha256(part).digest() for part in parts))
    return f"arrived/{topic}/{digest.hexdigest()}"
