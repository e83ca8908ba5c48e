"""Key files: how they are made, read, refused and read again."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.crypto.key_directory import InvalidKeyring, KeyDirectory
from services.crypto.keyring import Keyring, parse_keyring
from services.crypto.signing import SignatureInvalid

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WEEK = timedelta(days=7)


@pytest.fixture
def keys(tmp_path: Path) -> KeyDirectory:
    """A directory with keys of the deleter's."""
    directory = KeyDirectory(path=tmp_path / "keys")
    directory.create()
    return directory


def test_new_private_keys_are_readable_by_their_owner_only(keys: KeyDirectory) -> None:
    """The mode is 0600; the public part is for all, and contains nothing private."""
    assert keys.private().path.stat().st_mode & 0o777 == 0o600
    assert keys.public().path.stat().st_mode & 0o777 == 0o644
    assert '"d"' not in keys.public().path.read_text()
    assert sorted(os.listdir(keys.path)) == ["deleter.jwks", "deleter.private.jwks"]


def test_a_key_is_made_once(keys: KeyDirectory) -> None:
    """Processes that start later, or at the same time, use the first one's key."""
    before = keys.private()()
    assert keys.create() == before


def test_the_public_file_of_the_deleter_verifies_its_signatures(keys: KeyDirectory) -> None:
    """A system needs only this file."""
    headers = keys.signer().sign("t", b"k", b"v", NOW)
    assert keys.verifier().verify("t", b"k", b"v", headers, NOW) == keys.public()().keys[0].key_id


def test_a_private_file_open_to_everybody_is_refused(keys: KeyDirectory) -> None:
    """The key of dead letters is refused so too."""
    keys.private().path.chmod(0o604)
    with pytest.raises(InvalidKeyring, match="give it mode 0600"):
        keys.signer()


def test_a_private_key_in_a_public_file_is_refused(keys: KeyDirectory) -> None:
    """Somebody handed over too much; it is not used, so that it is noticed."""
    keys.public().path.write_text(keys.private()().as_json())
    with pytest.raises(InvalidKeyring, match="has a private key"):
        keys.verifier()


def test_a_public_key_in_a_private_file_is_refused(keys: KeyDirectory) -> None:
    """It could not sign."""
    keys.private().path.write_text(keys.public()().as_json())
    with pytest.raises(InvalidKeyring, match="without its private part"):
        keys.signer()


def test_without_a_file_nothing_is_signed(tmp_path: Path) -> None:
    """The path is named."""
    with pytest.raises(InvalidKeyring, match=r"deleter\.private\.jwks: does not exist"):
        KeyDirectory(path=tmp_path).signer()


def test_a_broken_file_is_named(keys: KeyDirectory) -> None:
    """The error states what is wrong with it."""
    keys.public().path.write_text("nonsense")
    with pytest.raises(InvalidKeyring, match=r"deleter\.jwks: is not JSON"):
        keys.verifier()


def test_the_answers_of_a_system_without_keys_are_not_trusted(keys: KeyDirectory) -> None:
    """Its missing file does not stop the answers of other systems."""
    verifier = keys.system_verifier("crm")
    with pytest.raises(SignatureInvalid, match="unsigned"):
        verifier.verify("t", b"k", b"v", [], NOW)


def test_a_system_can_be_trusted_while_roles_run(keys: KeyDirectory) -> None:
    """The verifier was created before the key."""
    verifier = keys.system_verifier("crm")
    keys.create("crm")
    headers = keys.signer("crm").sign("t", b"k", b"v", NOW)
    with pytest.raises(SignatureInvalid, match="unknown-key"):
        verifier.verify("t", b"k", b"v", headers, NOW)
    keys.trust("crm", keys.private("crm")())
    assert verifier.verify("t", b"k", b"v", headers, NOW) == keys.system("crm")().keys[0].key_id


def test_running_roles_use_a_rotated_key(keys: KeyDirectory) -> None:
    """The new key signs from its start on; signatures of the old one are valid until its end."""
    signer, verifier = keys.signer(), keys.verifier()
    old = signer.sign("t", b"k", b"v", NOW)
    rotated = keys.rotate("deleter", NOW + timedelta(days=1), NOW + timedelta(days=8))
    assert signer.sign("t", b"k", b"v", NOW) == old
    new = signer.sign("t", b"k", b"v", NOW + timedelta(days=1))
    assert verifier.verify("t", b"k", b"v", new, NOW + timedelta(days=1)) == rotated.key_id
    assert verifier.verify("t", b"k", b"v", old, NOW + timedelta(days=7)) != rotated.key_id
    with pytest.raises(SignatureInvalid, match="expired-key"):
        verifier.verify("t", b"k", b"v", old, NOW + timedelta(days=8))


def test_a_rotation_keeps_file_modes_and_writes_no_other_file(keys: KeyDirectory) -> None:
    """The private ring is still its owner's only."""
    keys.rotate("deleter", NOW, NOW + WEEK)
    assert keys.private().path.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(keys.path)) == ["deleter.jwks", "deleter.private.jwks"]


def test_a_rotation_keeps_the_encryption_key(keys: KeyDirectory) -> None:
    """Corrections are still encrypted to it."""
    keys.create("crm")
    keys.add_encryption("crm")
    keys.rotate("crm", NOW, NOW + WEEK)
    receives = [key for key in keys.public("crm")() if key.use == "enc"]
    assert [key.expires_at for key in receives] == [None]


def test_a_retired_key_is_removed_everywhere(keys: KeyDirectory) -> None:
    """It is removed from private, public and trusted keys alike; others stay."""
    key_id = keys.create("crm").keys[0].key_id
    keys.trust("crm", keys.public("crm")())
    new_key_id = keys.rotate("crm", NOW, NOW + WEEK).key_id
    assert keys.retire(key_id) == ["crm", "systems/crm"]
    assert [key.key_id for key in keys.private("crm")()] == [new_key_id]
    assert [key.key_id for key in keys.public("crm")()] == [new_key_id]
    assert keys.system("crm")() == Keyring()


def test_only_public_keys_are_trusted(keys: KeyDirectory) -> None:
    """If a system hands over its private part, that is not stored."""
    keys.trust("crm", keys.create("crm"))
    assert not any(key.is_private for key in parse_keyring(keys.system("crm").path.read_text()))
