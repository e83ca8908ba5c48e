"""Who signs and verifies, by the settings; signing is never silently off."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.app.wiring.signing import SigningConfig
from services.crypto.key_directory import InvalidKeyring, KeyDirectory
from services.crypto.signing import NoSigning, SignatureInvalid, Signer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MESSAGE = ("t", b"k", b"v")


def choose_signing(path: Path, *, makes: bool = True, required: bool = True) -> SigningConfig:
    """Return signing with keys in a directory."""
    return SigningConfig(
        keys=KeyDirectory(path=path / "keys"), creates_keys=makes, required=required
    )


def test_by_default_everything_is_signed(tmp_path: Path) -> None:
    """Each process finds the keys that another made: commands and answers are verified."""
    signatures = choose_signing(tmp_path)
    command = signatures.signer().sign(*MESSAGE, NOW)
    assert choose_signing(tmp_path).command_verifier().verify(*MESSAGE, command, NOW)
    assert signatures.systems_without_keys(["crm", "psp"], NOW) == ["crm", "psp"]
    answer = signatures.simulated_signers(["crm", "psp"])["crm"].sign(*MESSAGE, NOW)
    answers = choose_signing(tmp_path).acknowledgement_verifiers(["crm", "psp"])
    assert answers["crm"].verify(*MESSAGE, answer, NOW)
    with pytest.raises(SignatureInvalid, match="unknown-key"):
        answers["psp"].verify(*MESSAGE, answer, NOW)
    assert signatures.systems_without_keys(["crm", "psp"], NOW) == []


def test_simulated_systems_keep_their_keys(tmp_path: Path) -> None:
    """The next start uses the same ones."""
    first = choose_signing(tmp_path).simulated_signers(["crm"])["crm"].sign(*MESSAGE, NOW)
    assert choose_signing(tmp_path).simulated_signers(["crm"])["crm"].sign(*MESSAGE, NOW) == first


def test_a_configured_key_that_is_missing_is_not_made(tmp_path: Path) -> None:
    """A typing error in a path must not result in a deleter whose key no system trusts."""
    signatures = choose_signing(tmp_path, makes=False)
    with pytest.raises(InvalidKeyring, match="does not exist"):
        signatures.signer()
    with pytest.raises(InvalidKeyring, match="does not exist"):
        signatures.command_verifier()
    with pytest.raises(InvalidKeyring, match="does not exist"):
        signatures.simulated_signers(["crm"])
    assert list(tmp_path.iterdir()) == []


def test_simulated_systems_are_not_trusted_where_keys_are_configured(tmp_path: Path) -> None:
    """Trying something out adds no key to the trusted keys of production."""
    choose_signing(tmp_path).keys.create("crm")
    signatures = choose_signing(tmp_path, makes=False)
    assert isinstance(signatures.simulated_signers(["crm"])["crm"], Signer)
    assert signatures.systems_without_keys(["crm"], NOW) == ["crm"]


def test_signing_is_off_only_by_a_setting(tmp_path: Path) -> None:
    """The setting turns it off for every role and system, and no key is made."""
    signatures = choose_signing(tmp_path, required=False)
    used = [
        signatures.signer(),
        signatures.command_verifier(),
        *signatures.acknowledgement_verifiers(["crm"]).values(),
    ]
    used += signatures.simulated_signers(["crm"]).values()
    assert all(isinstance(signer, NoSigning) for signer in used)
    assert list(tmp_path.iterdir()) == []
