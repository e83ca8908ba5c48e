"""Signatures: what they cover, and what is refused as unsigned."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import assume, given
from hypothesis import strategies as st

from services.crypto.keyring import JsonWebKey, Keyring, new_key, parse_keyring
from services.crypto.signing import (
    KEY_ID,
    SIGNATURE,
    NoSigning,
    NoSigningKey,
    SignatureInvalid,
    Signer,
    Verifier,
    signed_bytes,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOPIC, KEY, VALUE = "retention.commands.crm.v1", b"customer:7", b"\x00erase this"
MINE = new_key()
PAGE = (Path(__file__).parents[3] / "services" / "crypto" / "README.md").read_text("utf-8")
PARTS = st.tuples(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.none() | st.binary(max_size=8),
    st.none() | st.binary(max_size=8),
)


def sign_message(key: JsonWebKey = MINE, topic: str = TOPIC) -> list[tuple[str, bytes | None]]:
    """The headers that a key gives the message."""
    return [*Signer(lambda: Keyring((key,))).sign(topic, KEY, VALUE, NOW)]


def why_not(
    headers: Sequence[tuple[str, bytes | None]],
    *,
    trusted: Sequence[JsonWebKey] = (MINE.public(),),
    topic: str = TOPIC,
    key: bytes | None = KEY,
    value: bytes | None = VALUE,
    now: datetime = NOW,
) -> str:
    """The reason for which a message is not verified."""
    with pytest.raises(SignatureInvalid) as refused:
        Verifier(lambda: Keyring(tuple(trusted))).verify(topic, key, value, headers, now)
    return refused.value.reason


def test_the_signed_bytes_are_those_of_the_page() -> None:
    """Domain, then each part with its length in four bytes; written out by hand."""
    assert signed_bytes("t.v1", b"k", b"\x01\x02") == (
        b"termijn signature 1\x00\x00\x00\x00\x04t.v1\x00\x00\x00\x01k\x00\x00\x00\x02\x01\x02"
    )
    assert signed_bytes("t", None, b"") == (
        b"termijn signature 1\x00\x00\x00\x00\x01t\xff\xff\xff\xff\x00\x00\x00\x00"
    )


def test_a_signature_is_the_one_of_rfc_8032() -> None:
    """Ed25519 is deterministic: the key of RFC 8037 gives this over these bytes, as OpenSSL does."""
    [key] = parse_keyring(
        json.dumps(
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            }
        )
    )
    headers = dict(Signer(lambda: Keyring((key,))).sign("t.v1", b"k", b"\x01\x02", NOW))
    assert headers[KEY_ID] == b"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert headers[SIGNATURE].hex() == (
        "1c03a11c741bbf091bbbfb5da6f9d0d985e3ff3536da3cfed2ccc8693aa1970b"
        "50cad29b285d9a87ad5c45c3926c96ece757cfb6001f8ddc474f7a7d8b599504"
    )


@given(PARTS, PARTS)
def test_no_two_messages_share_their_signed_bytes(
    first: tuple[str, bytes | None, bytes | None], other: tuple[str, bytes | None, bytes | None]
) -> None:
    """Moving bytes between topic, key and value gives other signed bytes; so does null for empty."""
    assume(first != other)
    assert signed_bytes(*first) != signed_bytes(*other)


@given(PARTS)
def test_the_signed_bytes_contain_the_whole_message(
    message: tuple[str, bytes | None, bytes | None],
) -> None:
    """The three parts can be read back out of them: nothing of a message is left out."""
    rest = signed_bytes(*message).removeprefix(b"termijn signature 1\x00")
    parts: list[bytes | None] = []
    while rest:
        length, rest = rest[:4], rest[4:]
        size = 0 if length == b"\xff\xff\xff\xff" else int.from_bytes(length, "big")
        parts.append(None if length == b"\xff\xff\xff\xff" else rest[:size])
        rest = rest[size:]
    assert parts == [message[0].encode(), message[1], message[2]]


def test_what_was_signed_is_verified() -> None:
    """The result names the key."""
    verifier = Verifier(lambda: Keyring((MINE.public(),)))
    assert verifier.verify(TOPIC, KEY, VALUE, sign_message(), NOW) == MINE.key_id


def test_other_headers_do_not_change_the_signature() -> None:
    """Tracing adds its own."""
    verifier = Verifier(lambda: Keyring((MINE.public(),)))
    headers = [("traceparent", b"00-1"), *sign_message(), ("x", None)]
    assert verifier.verify(TOPIC, KEY, VALUE, headers, NOW) == MINE.key_id


@pytest.mark.parametrize("place", range(len(VALUE)))
def test_each_byte_of_the_value_counts(place: int) -> None:
    """One flipped bit and the message is forged."""
    altered = bytearray(VALUE)
    altered[place] ^= 1
    assert why_not(sign_message(), value=bytes(altered)) == "forged"


@pytest.mark.parametrize("place", range(len(KEY)))
def test_each_byte_of_the_key_counts(place: int) -> None:
    """A command for one subject is none for another."""
    altered = bytearray(KEY)
    altered[place] ^= 1
    assert why_not(sign_message(), key=bytes(altered)) == "forged"


@pytest.mark.parametrize("place", range(len(TOPIC)))
def test_each_letter_of_the_topic_counts(place: int) -> None:
    """A topic is another one from one letter on."""
    other = TOPIC[:place] + chr(ord(TOPIC[place]) ^ 1) + TOPIC[place + 1 :]
    assert why_not(sign_message(), topic=other) == "forged"


@pytest.mark.parametrize("place", range(64))
def test_each_byte_of_the_signature_counts(place: int) -> None:
    """One flipped bit and it is none."""
    key_id, (name, signature) = sign_message()
    altered = bytearray(signature or b"")
    altered[place] ^= 1
    assert why_not([key_id, (name, bytes(altered))]) == "forged"


@pytest.mark.parametrize("signature", [b"", b"x", bytes(64), bytes(63), bytes(65), bytes(4096)])
def test_an_invalid_signature_counts_as_forged(signature: bytes) -> None:
    """It may have any length."""
    assert why_not([sign_message()[0], (SIGNATURE, signature)]) == "forged"


def test_a_command_of_another_system_is_refused() -> None:
    """Replayed to another topic, byte for byte, with its own headers."""
    assert why_not(sign_message(topic="retention.commands.psp.v1")) == "forged"


@pytest.mark.parametrize(("key", "value"), [(None, VALUE), (KEY, None), (b"", VALUE), (KEY, b"")])
def test_a_message_without_its_value_is_forged(key: bytes | None, value: bytes | None) -> None:
    """A tombstone is not what was signed."""
    assert why_not(sign_message(), key=key, value=value) == "forged"


def test_the_key_of_another_system_proves_nothing() -> None:
    """It is a good key, of somebody else."""
    assert why_not(sign_message(new_key())) == "unknown-key"


def test_the_id_of_a_trusted_key_does_not_replace_its_signature() -> None:
    """Signed with one's own key under the id of another's."""
    forger = sign_message(new_key())
    assert why_not([(KEY_ID, MINE.key_id.encode()), forger[1]]) == "forged"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("x", b"y")],
        [(KEY_ID, MINE.key_id.encode())],
        [(SIGNATURE, bytes(64))],
        [(KEY_ID, None), (SIGNATURE, bytes(64))],
        [(KEY_ID, MINE.key_id.encode()), (SIGNATURE, None)],
    ],
)
def test_a_message_without_both_headers_is_unsigned(
    headers: list[tuple[str, bytes | None]],
) -> None:
    """Half a signature is none."""
    assert why_not(headers) == "unsigned"


@pytest.mark.parametrize("twice", [0, 1])
def test_a_message_with_two_signatures_is_refused(twice: int) -> None:
    """Readers that take the first and readers that take the last must not differ."""
    headers = sign_message()
    assert why_not([*headers, headers[twice]]) == "ambiguous"


@pytest.mark.parametrize("key_id", [b"", b"\xff\xfe", b"x" * 10_000])
def test_an_unknown_key_is_not_named_in_the_reason(key_id: bytes) -> None:
    """A header of an unknown sender must not get into logs."""
    with pytest.raises(SignatureInvalid) as refused:
        Verifier(Keyring).verify(TOPIC, KEY, VALUE, [(KEY_ID, key_id), sign_message()[1]], NOW)
    assert str(refused.value) == "signature: cannot be verified: unknown-key"


def test_a_key_that_has_expired_proves_nothing() -> None:
    """Even for what it signed while it held: who stole it may say when that was."""
    key = MINE.public().with_expiry(NOW + timedelta(hours=1))
    assert why_not(sign_message(), trusted=[key], now=NOW + timedelta(hours=1)) == "expired-key"


def test_a_key_that_is_not_valid_yet_proves_nothing() -> None:
    """It is valid from tomorrow on."""
    tomorrow = NOW + timedelta(days=1)
    key = new_key("sig", tomorrow)
    headers = Signer(lambda: Keyring((key,))).sign(TOPIC, KEY, VALUE, tomorrow)
    assert why_not(headers, trusted=[key.public()]) == "expired-key"


def test_an_encryption_key_proves_nothing() -> None:
    """X25519 does not sign."""
    key = new_key("enc")
    headers = [(KEY_ID, key.key_id.encode()), (SIGNATURE, bytes(64))]
    assert why_not(headers, trusted=[key.public()]) == "unknown-key"


def test_a_rotated_key_is_used_at_once() -> None:
    """Signer and verifier ask for the ring each time: the old signature stays good beside the new."""
    old, new = MINE, new_key("sig", NOW)
    rings = [Keyring((old,))]
    signer, verifier = Signer(lambda: rings[-1]), Verifier(lambda: rings[-1])
    before = signer.sign(TOPIC, KEY, VALUE, NOW)
    rings.append(Keyring((old.with_expiry(NOW + timedelta(days=7)), new)))
    after = signer.sign(TOPIC, KEY, VALUE, NOW)
    assert verifier.verify(TOPIC, KEY, VALUE, before, NOW) == old.key_id
    assert verifier.verify(TOPIC, KEY, VALUE, after, NOW) == new.key_id


def test_a_retired_key_signs_and_proves_nothing() -> None:
    """It is no longer in the keyring."""
    assert why_not(sign_message(), trusted=[new_key().public()]) == "unknown-key"
    with pytest.raises(NoSigningKey):
        Signer(Keyring).sign(TOPIC, KEY, VALUE, NOW)


def test_nothing_is_signed_with_an_expired_key() -> None:
    """A signature that no reader would verify is not sent."""
    key = MINE.with_expiry(NOW)
    with pytest.raises(NoSigningKey):
        Signer(lambda: Keyring((key,))).sign(TOPIC, KEY, VALUE, NOW)


def test_without_signing_nothing_is_signed_or_verified() -> None:
    """This needs an explicit setting."""
    assert NoSigning().sign(TOPIC, KEY, VALUE, NOW) == ()
    assert NoSigning().verify(TOPIC, KEY, VALUE, [], NOW) == ""


def test_the_sample_code_of_the_page_verifies() -> None:
    """It raises for an altered message, so it is safe to copy."""
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    scope: dict[str, Any] = {}
    exec(compile(code, "services/crypto/README.md", "exec"), scope)
    jwks = {"keys": [new_key("enc").public().as_jwk(), MINE.public().as_jwk()]}
    headers = dict(sign_message())
    scope["verify"](TOPIC, KEY, VALUE, headers, jwks, NOW.timestamp())
    null = dict(Signer(lambda: Keyring((MINE,))).sign(TOPIC, None, VALUE, NOW))
    scope["verify"](TOPIC, None, VALUE, null, jwks, NOW.timestamp())
    with pytest.raises(InvalidSignature):
        scope["verify"](TOPIC, KEY, VALUE + b"x", headers, jwks, NOW.timestamp())
