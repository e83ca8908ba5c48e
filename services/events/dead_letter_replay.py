"""Replay of dead letters: the original message is sent again, with proof of when it first arrived.

Only the holder of the dead letters' key can make that proof, and it is valid for this message alone: a
publisher who could choose an arrival time could pass off an old event as one that came in time.
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
    """Return the headers of the replayed message: its own, and the proof of when it first arrived."""
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
    """Return when a replayed message first arrived; None for one without a valid proof."""
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
    """Return what the proof is bound to: the topic, and a digest of the whole message."""
    parts = (
        key or b"",
        value or b"",
        *(part for name, content in headers for part in (name.encode(), content)),
    )
    digest = sha256(b"".join(sha256(part).digest() for part in parts))
    return f"arrived/{topic}/{digest.hexdigest()}"
