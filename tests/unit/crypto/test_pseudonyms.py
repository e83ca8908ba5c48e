"""A pseudonym is the first half of an HMAC over the kind of identifier and the identifier."""

from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st

from services.crypto.pseudonyms import Kind, Pseudonymizer


@given(
    key=st.binary(max_size=130),
    kind=st.sampled_from(["subject", "command", "request", "text"]),
    identifier=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_a_pseudonym_is_the_hmac_of_the_standard_library(
    key: bytes, kind: Kind, identifier: str
) -> None:
    """For keys of any length, and again with the same pseudonymizer."""
    pseudonymizer = Pseudonymizer(key)
    expected = hmac.new(key, f"{kind}\0{identifier}".encode(), "sha256").digest()[:16]
    for _ in range(2):
        assert pseudonymizer.pseudonym(kind, identifier) == expected


def test_the_pseudonym_of_a_known_key_is_as_documented() -> None:
    """Computed with OpenSSL: printf 'subject\\0visitor:1' | openssl dgst -sha256 -mac HMAC."""
    expected = "656899b09d618268af7918cd950b1a43"
    assert Pseudonymizer(bytes(32)).pseudonym("subject", "visitor:1").hex() == expected
