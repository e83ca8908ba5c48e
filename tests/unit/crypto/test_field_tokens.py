"""An encrypted field is decrypted only with its key and in its place, whatever its text."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.crypto.field_tokens import (
    FieldKey,
    FieldLocation,
    TokenTampered,
    decrypt_token,
    encrypt_text,
    is_token,
    key_ids,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
PLACES = st.builds(FieldLocation, schema=TEXTS, path=TEXTS, subject=TEXTS)
SECRETS = st.binary(min_size=32, max_size=32)
IDS = st.binary(min_size=16, max_size=16).map(
    lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
)
SEALERS = st.builds(FieldKey, system=TEXTS, key_id=IDS, secret=SECRETS)
SEVERAL = st.lists(SEALERS, min_size=1, max_size=3, unique_by=lambda key: key.key_id)


@given(TEXTS, PLACES, SEVERAL)
def test_a_token_is_decrypted_with_any_of_its_keys(
    text: str, place: FieldLocation, sealers: list[FieldKey]
) -> None:
    """The other keys may be destroyed."""
    token = encrypt_text(text, place, sealers)
    assert is_token(token)
    assert key_ids(token, place.path) == tuple(key.key_id for key in sealers)
    assert [decrypt_token(token, place, [key]) for key in sealers] == [text] * len(sealers)


@given(TEXTS, PLACES, PLACES, SEALERS)
def test_a_token_is_not_decrypted_in_another_place(
    text: str, place: FieldLocation, other: FieldLocation, sealer: FieldKey
) -> None:
    """Another schema, field or subject: each alone is enough."""
    token = encrypt_text(text, place, [sealer])
    for name in ("schema", "path", "subject"):
        moved = replace(place, **{name: getattr(other, name)})
        if moved != place:
            with pytest.raises(TokenTampered):
                decrypt_token(token, moved, [sealer])


@given(TEXTS, PLACES, SEALERS, SEALERS)
def test_a_token_is_not_decrypted_with_another_key(
    text: str, place: FieldLocation, sealer: FieldKey, other: FieldKey
) -> None:
    """Another secret, the same for another system, and the same under another id all fail."""
    token = encrypt_text(text, place, [sealer])
    for name in ("system", "secret", "key_id"):
        wrong = replace(sealer, **{name: getattr(other, name)})
        if wrong != sealer:
            with pytest.raises(TokenTampered):
                decrypt_token(token, place, [wrong])


@given(TEXTS, PLACES, SEALERS, st.data())
def test_an_altered_token_is_an_error(
    text: str, place: FieldLocation, sealer: FieldKey, data: st.DataObject
) -> None:
    """Whichever character it is."""
    token = encrypt_text(text, place, [sealer])
    spot = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("AZaz09-_:,"))
    altered = token[:spot] + letter + token[spot + 1 :]
    assume(altered != token)
    padding = -len(token.rpartition(":")[2]) % 4
    assume(not (padding and spot == len(token) - 1))  # its last bits are of no byte
    with pytest.raises(TokenTampered):
        decrypt_token(altered, place, [sealer])


@given(PLACES, SEALERS, st.lists(TEXTS, min_size=2, max_size=5, unique=True))
def test_a_nonce_depends_on_the_text_alone(
    place: FieldLocation, sealer: FieldKey, texts: list[str]
) -> None:
    """A nonce shared by two texts would reveal both."""
    tokens = [encrypt_text(text, place, [sealer]) for text in texts]
    assert tokens == [encrypt_text(text, place, [sealer]) for text in texts]
    heads = [token.rpartition(":")[2][:16] for token in tokens]
    assert len(set(heads)) == len(texts)


def test_the_format_of_tokens_is_fixed() -> None:
    """Written out once, so that implementations in other languages can be tested with it."""
    sealer = FieldKey(system="bus", key_id="A" * 22, secret=bytes(range(32)))
    place = FieldLocation(schema="orders.order-placed", path="consumer_name", subject="consumer:K1")
    assert place.associated_data("bus", "k") == (
        b"termijn field 1\x00"
        b"\x00\x00\x00\x13orders.order-placed"
        b"\x00\x00\x00\x0dconsumer_name"
        b"\x00\x00\x00\x0bconsumer:K1"
        b"\x00\x00\x00\x03bus"
        b"\x00\x00\x00\x01k"
    )
    assert encrypt_text("Ada", place, [sealer]) == WRITTEN


WRITTEN = "enc:v1:AAAAAAAAAAAAAAAAAAAAAA:dLthCOwOiXfDpwVxa0SaoXRSTnmU6bxIN-xGRoHJNg"
