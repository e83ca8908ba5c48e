"""Dead letters are decrypted only with their key, at their offset, and unaltered."""

from __future__ import annotations

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.crypto.envelope import (
    AeadCipher,
    DecryptionFailed,
    InvalidKeyFile,
    OriginalMessage,
    load_or_create_key,
    read_key,
)

KEY = bytes(range(32))
SEAL = AeadCipher(KEY)
PLACE = "orders.order-placed.v1/3/17"
ORIGINAL = OriginalMessage(
    key=b"consumer:C1",
    value=b"\xc3\x01 a body",
    headers=[("ce_id", b"e1"), ("trace", None), ("ce_id", b"again")],
)


def key_file(directory: Path, text: str, mode: int = 0o600) -> Path:
    """A key file with this text and mode."""
    path = directory / "a.key"
    path.write_text(text, "ascii")
    path.chmod(mode)
    return path


def test_a_decrypted_message_is_unchanged() -> None:
    """Key, value and headers, in order, repeated and empty ones too."""
    assert SEAL.decrypt(SEAL.encrypt(ORIGINAL, PLACE), PLACE, SEAL.key_id) == ORIGINAL


@given(
    key=st.none() | st.binary(),
    value=st.none() | st.binary(),
    headers=st.lists(st.tuples(st.text(), st.none() | st.binary())),
)
def test_every_possible_message_is_decrypted_unchanged(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    """Absent parts stay absent, and do not become empty."""
    original = OriginalMessage(key=key, value=value, headers=headers)
    assert SEAL.decrypt(SEAL.encrypt(original, PLACE), PLACE, SEAL.key_id) == original


def test_nothing_of_the_message_can_be_read_in_the_ciphertext() -> None:
    """Key, body and headers are not in it, neither in clear nor in base64."""
    sealed = SEAL.encrypt(ORIGINAL, PLACE)
    for part in (b"consumer:C1", b"a body", b"ce_id"):
        assert part not in sealed
        assert base64.b64encode(part) not in sealed


def test_the_same_message_is_encrypted_differently_each_time() -> None:
    """A nonce is never used twice, so equal messages cannot be recognised."""
    assert SEAL.encrypt(ORIGINAL, PLACE) != SEAL.encrypt(ORIGINAL, PLACE)


def test_an_envelope_is_decrypted_only_at_its_own_offset() -> None:
    """Moved to another row, it cannot be decrypted."""
    with pytest.raises(DecryptionFailed):
        SEAL.decrypt(SEAL.encrypt(ORIGINAL, PLACE), "orders.order-placed.v1/3/18", SEAL.key_id)


def test_decrypting_with_another_key_fails_and_names_the_right_one() -> None:
    """The operator learns which key to look for."""
    sealed = SEAL.encrypt(ORIGINAL, PLACE)
    with pytest.raises(DecryptionFailed, match=SEAL.key_id):
        AeadCipher(bytes(32)).decrypt(sealed, PLACE, SEAL.key_id)


@pytest.mark.parametrize("position", [0, 12, -1])
def test_one_altered_bit_is_detected(position: int) -> None:
    """It may be in the nonce, the message or the tag."""
    altered = bytearray(SEAL.encrypt(ORIGINAL, PLACE))
    altered[position] ^= 1
    with pytest.raises(DecryptionFailed):
        SEAL.decrypt(bytes(altered), PLACE, SEAL.key_id)


@pytest.mark.parametrize("length", [0, 5, 12, 20])
def test_a_truncated_envelope_is_detected(length: int) -> None:
    """An empty one, as that of a settled dead letter, is detected too."""
    with pytest.raises(DecryptionFailed):
        SEAL.decrypt(SEAL.encrypt(ORIGINAL, PLACE)[:length], PLACE, SEAL.key_id)


def test_the_key_id_distinguishes_keys_and_reveals_none() -> None:
    """It is in clear beside the ciphertext."""
    assert AeadCipher(KEY).key_id == SEAL.key_id != AeadCipher(bytes(32)).key_id
    assert SEAL.key_id not in KEY.hex()


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    """The file is as `openssl rand -base64 32` writes it, with its line end."""
    path = key_file(tmp_path, base64.b64encode(KEY).decode() + "\n")
    assert read_key(path).key_id == SEAL.key_id


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a key of 32 bytes"),
        ("c2hvcnQ=", "is not a key of 32 bytes"),
        ("not base64!", "cannot be read"),
    ],
)
def test_a_file_without_a_key_is_named(tmp_path: Path, text: str, why: str) -> None:
    """The error states what is wrong, and shows nothing of the file's content."""
    path = key_file(tmp_path, text)
    with pytest.raises(InvalidKeyFile) as refused:
        read_key(path)
    assert str(refused.value).startswith(f"{path}: {why}")
    assert not text or text not in str(refused.value)


def test_reading_never_makes_a_missing_key(tmp_path: Path) -> None:
    """A new key in place of a lost one would decrypt nothing, and hide the loss."""
    path = tmp_path / "absent.key"
    with pytest.raises(InvalidKeyFile, match=r"absent\.key: cannot be read"):
        read_key(path)
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o666])
def test_a_key_that_all_users_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """It protects nothing on this machine."""
    path = key_file(tmp_path, base64.b64encode(KEY).decode(), mode)
    with pytest.raises(InvalidKeyFile, match="give it mode 0600"):
        read_key(path)


def test_a_group_may_read_a_key(tmp_path: Path) -> None:
    """A mounted secret may belong to root and to the role's group."""
    path = key_file(tmp_path, base64.b64encode(KEY).decode(), 0o440)
    assert read_key(path).key_id == SEAL.key_id


def test_a_new_key_is_private_and_is_kept(tmp_path: Path) -> None:
    """The umask does not matter; the second start finds the first one's key."""
    path = tmp_path / "data" / "dead-letters.key"
    before = os.umask(0)
    try:
        key = load_or_create_key(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_key(path).key_id == key.key_id
    assert [file.name for file in path.parent.iterdir()] == ["dead-letters.key"]


def test_processes_that_make_a_key_at_once_have_the_same(tmp_path: Path) -> None:
    """Roles that start together; none meets a file that is not written yet."""
    for number in range(20):
        path = tmp_path / f"{number}.key"
        with ThreadPoolExecutor(8) as pool:
            created = list(pool.map(load_or_create_key, [path] * 8))
        assert len({seal.key_id for seal in created}) == 1


def test_a_key_is_not_made_where_another_file_is(tmp_path: Path) -> None:
    """A person repairs a broken key file: what it encrypted depends on it."""
    path = key_file(tmp_path, "")
    with pytest.raises(InvalidKeyFile, match="is not a key of 32 bytes"):
        load_or_create_key(path)
    assert path.read_text("ascii") == ""


def test_a_key_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    """A file may have the name of the directory."""
    (tmp_path / "data").write_text("", "ascii")
    path = tmp_path / "data" / "a.key"
    with pytest.raises(InvalidKeyFile) as refused:
        load_or_create_key(path)
    assert str(refused.value).startswith(f"{path}: cannot be created: ")
