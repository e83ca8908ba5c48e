"""Bytes as text: base64url without padding (RFC 4648, section 5), and plain base64 for JSON."""

from __future__ import annotations

from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from typing import overload


def encode_base64url(data: bytes) -> str:
    """Return bytes as base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    """Return the bytes of base64url text without padding.

    Raises:
        ValueError: the text is not exactly what `encode_base64url` returns.
    """
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode_base64url(data) != text:
        raise ValueError("is not base64url")
    return data


@overload
def encode_base64(data: bytes) -> str: ...
@overload
def encode_base64(data: bytes | None) -> str | None: ...
def encode_base64(data: bytes | None) -> str | None:
    """Return bytes as base64; None stays None."""
    return None if data is None else b64encode(data).decode()


def decode_base64(text: str | None) -> bytes | None:
    """Return the bytes of base64 text; None stays None.

    Raises:
        ValueError: the text is not base64.
    """
    return None if text is None else b64decode(text)
