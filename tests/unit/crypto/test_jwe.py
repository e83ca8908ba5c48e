"""Disclosures: personal data for one reader, about one command."""

from __future__ import annotations

import pytest

from services.crypto.jwe import DisclosureUndecryptable, decrypt, encrypt, new_key, to_public


def test_the_private_key_decrypts_what_was_encrypted_to_it() -> None:
    """A name with letters outside Latin is decrypted unchanged, and not readable before."""
    key = new_key()
    text = encrypt({"name": "Łukasz Öztürk"}, to_public(key), "command 1")
    assert "ukasz" not in text
    assert decrypt(text, key, "command 1") == {"name": "Łukasz Öztürk"}


def test_an_answer_cannot_be_decrypted_in_place_of_another() -> None:
    """The answer to one command is not accepted as the answer to another."""
    key = new_key()
    text = encrypt({"name": "A"}, to_public(key), "command 1")
    with pytest.raises(DisclosureUndecryptable, match="command 2"):
        decrypt(text, key, "command 2")


def test_another_key_decrypts_nothing() -> None:
    """Once a request's key is destroyed, nothing decrypts what was encrypted to it."""
    text = encrypt({"name": "A"}, to_public(new_key()), "command 1")
    with pytest.raises(DisclosureUndecryptable):
        decrypt(text, new_key(), "command 1")


@pytest.mark.parametrize("text", ["", "x", "a.b.c.d.e", "....", "{}", "é" * 50])
def test_garbage_is_unreadable(text: str) -> None:
    """Whatever a system sends is decrypted, or reported as unreadable."""
    with pytest.raises(DisclosureUndecryptable):
        decrypt(text, new_key(), "command 1")


@pytest.mark.parametrize("place", range(5))
def test_an_altered_part_is_detected(place: int) -> None:
    """Each of the five parts of a JWE is covered: header, key, nonce, text, tag."""
    key = new_key()
    parts = encrypt({"name": "A"}, to_public(key), "command 1").split(".")
    first = parts[place][0]
    parts[place] = ("B" if first != "B" else "C") + parts[place][1:]
    with pytest.raises(DisclosureUndecryptable):
        decrypt(".".join(parts), key, "command 1")


def test_a_public_key_contains_no_secret() -> None:
    """`d` is the private member of a JWK (RFC 8037)."""
    assert '"d"' not in to_public(new_key())


@pytest.mark.parametrize(
    "key", ["", "{}", "[]", '{"kty": "OKP", "crv": "Ed25519", "x": "AA"}', '{"crv": "X25519"}']
)
def test_nothing_is_encrypted_to_an_invalid_key(key: str) -> None:
    """A key that cannot be used is refused before anything is encrypted."""
    with pytest.raises(ValueError):  # noqa: PT011  # json's own error is one too
        encrypt({"name": "A"}, key, "command 1")
