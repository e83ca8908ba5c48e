"""Keyrings: which keys they accept, and which of them are valid when."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from services.crypto.keyring import InvalidKey, Keyring, new_key, parse_keyring

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RFC8037 = {
    "kty": "OKP",
    "crv": "Ed25519",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
"""The key of RFC 8037, appendix A.1."""


def test_a_keys_id_is_its_thumbprint() -> None:
    """RFC 8037, appendix A.3, gives that of its example."""
    [key] = parse_keyring(json.dumps(RFC8037))
    assert key.key_id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_keyring_is_parsed_from_its_text_unchanged() -> None:
    """Keys of both uses, with their terms and their private parts."""
    ring = Keyring((new_key("sig", NOON).with_expiry(NOON + timedelta(days=1)), new_key("enc")))
    assert parse_keyring(ring.as_json()) == ring


def test_a_public_ring_has_no_private_part() -> None:
    """Neither in its text nor in what signs."""
    ring = parse_keyring(json.dumps(RFC8037)).public()
    assert "d" not in json.loads(ring.as_json())["keys"][0]
    assert ring.keys[0].private_key is None


def test_the_repr_of_a_key_has_no_private_part() -> None:
    """The `repr` may be logged or printed by accident."""
    ring = parse_keyring(json.dumps(RFC8037))
    assert RFC8037["d"] not in repr(ring)
    assert RFC8037["d"] not in repr(ring.keys[0])


def test_keys_of_other_kinds_are_ignored() -> None:
    """RFC 7517, section 5: a set may hold keys of other kinds."""
    others = [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "OKP", "crv": "Ed448", "x": "AA"}]
    assert len(parse_keyring(json.dumps({"keys": [*others, RFC8037]})).keys) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSON"),
        ("[]", "is neither a JWK nor a JWK Set"),
        ('{"keys": 1}', "is neither a JWK nor a JWK Set"),
        ('{"keys": ["x"]}', "is neither a JWK nor a JWK Set"),
        (json.dumps({"keys": [RFC8037, RFC8037]}), "contains the same key twice"),
        (json.dumps({**RFC8037, "kid": "mine"}), "key 1: `kid` must be its RFC 7638 thumbprint"),
        (json.dumps({**RFC8037, "use": "enc"}), "key 1: `use` of Ed25519 must be 'sig', got 'enc'"),
        (
            json.dumps({**RFC8037, "alg": "ES256"}),
            "key 1: `alg` of Ed25519 must be 'EdDSA', got 'ES256'",
        ),
        (
            json.dumps({**RFC8037, "nbf": "soon"}),
            "key 1: `nbf` is not a number of seconds since 1970",
        ),
        (
            json.dumps({**RFC8037, "exp": True}),
            "key 1: `exp` is not a number of seconds since 1970",
        ),
        (
            json.dumps({**RFC8037, "exp": 10**30}),
            "key 1: `exp` is not a number of seconds since 1970",
        ),
        (json.dumps({**RFC8037, "nbf": 2, "exp": 2}), "key 1: expires before it becomes valid"),
        (json.dumps({**RFC8037, "x": "AAAA"}), "key 1: `x` is not the public part of `d`"),
        (json.dumps({**RFC8037, "x": 5}), "key 1: lacks a part that its curve needs"),
        (
            json.dumps({"kty": "OKP", "crv": "Ed25519"}),
            "key 1: lacks a part that its curve needs",
        ),
        (
            json.dumps({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
            "key 1: lacks a part that its curve needs",
        ),
        (
            json.dumps({"kty": "OKP", "crv": "Ed25519", "x": RFC8037["x"][:-1] + "p"}),
            "key 1: lacks a part that its curve needs",
        ),
        (
            json.dumps({**RFC8037, "x": RFC8037["x"][:-1] + "p"}),
            "key 1: `x` is not the public part of `d`",
        ),
    ],
)
def test_an_invalid_key_is_refused_with_its_reason(text: str, why: str) -> None:
    """A key that cannot be what it claims is never partly used."""
    with pytest.raises(InvalidKey, match=why.replace("(", r"\(")):
        parse_keyring(text)


def test_a_refusal_does_not_quote_the_key() -> None:
    """An error lands in logs; the private part must not."""
    with pytest.raises(InvalidKey) as refused:
        parse_keyring(json.dumps({**RFC8037, "x": new_key().x}))
    assert str(RFC8037["d"]) not in str(refused.value)


def test_a_key_is_valid_from_nbf_until_just_before_exp() -> None:
    """The first instant belongs to it, the last does not."""
    key = new_key("sig", NOON).with_expiry(NOON + timedelta(hours=1))
    at = [NOON - timedelta(microseconds=1), NOON, NOON + timedelta(minutes=59)]
    assert [key.is_valid_at(moment) for moment in [*at, NOON + timedelta(hours=1)]] == [
        False,
        True,
        True,
        False,
    ]


def test_the_newest_valid_key_signs() -> None:
    """A key that is valid from tomorrow on does not, nor does one that has expired."""
    expired = new_key("sig", NOON - timedelta(hours=1)).with_expiry(NOON)
    old, new = new_key(), new_key("sig", NOON - timedelta(days=1))
    coming = new_key("sig", NOON + timedelta(days=1))
    assert Keyring((new, coming, expired, old)).newest("sig", NOON) == new


def test_of_keys_that_began_together_the_later_in_the_file_signs() -> None:
    """A key without nbf that is put behind another takes its place."""
    first, second = new_key(), new_key()
    assert Keyring((first, second)).newest("sig", NOON) == second


def test_the_validity_of_a_key_is_never_extended() -> None:
    """A key that expires earlier on its own still does."""
    key = new_key().with_expiry(NOON)
    assert key.with_expiry(NOON + timedelta(days=9)).expires_at == NOON


def test_corrections_are_encrypted_to_the_newest_encryption_key() -> None:
    """Its public part only; a keyring without one receives nothing."""
    key = new_key("enc")
    encryption_key = Keyring((new_key(), key)).encryption_key(NOON)
    assert encryption_key is not None
    assert json.loads(encryption_key)["x"] == key.x
    assert "d" not in json.loads(encryption_key)
    assert Keyring((new_key(),)).encryption_key(NOON) is None
