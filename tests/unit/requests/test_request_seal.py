"""The key of requests: made on a single machine, configured where roles share a ledger."""

from __future__ import annotations

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.app import settings_loader
from services.app.setting_field import InvalidSetting
from services.app.wiring import resources
from services.crypto.envelope import InvalidKeyFile, read_key


def key_file(path: Path, letter: bytes) -> Path:
    """A key of 32 equal letters."""
    path.write_text(base64.b64encode(letter * 32).decode(), "ascii")
    path.chmod(0o600)
    return path


def sealed_by(**variables: str | Path) -> str:
    """The id of the key that a role with these variables seals with."""
    chosen = settings_loader.load({name: str(value) for name, value in variables.items()})
    with resources.open_resources(chosen) as opened:
        return opened.request_keys().cipher.key_id


def test_on_one_machine_the_key_of_requests_is_made_and_private(tmp_path: Path) -> None:
    """It is found again, and it differs from the key of dead letters."""
    first = sealed_by(TERMIJN_DATA=tmp_path)
    path = tmp_path / "requests.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first == sealed_by(TERMIJN_DATA=tmp_path) == read_key(path).key_id
    with resources.open_resources(settings_loader.load({"TERMIJN_DATA": str(tmp_path)})) as opened:
        assert opened.dead_letter_cipher().key_id != first


def test_roles_that_make_the_key_of_requests_at_once_have_the_same(tmp_path: Path) -> None:
    """Deleter and rights start together on an empty directory."""
    with ThreadPoolExecutor(8) as pool:
        key_ids = list(pool.map(lambda _: sealed_by(TERMIJN_DATA=tmp_path / "new"), range(8)))
    assert len(set(key_ids)) == 1


def test_a_configured_key_of_requests_is_used(tmp_path: Path) -> None:
    """The data directory of a pod is empty at each start."""
    key_path = key_file(tmp_path / "given.key", b"r")
    key_id = sealed_by(TERMIJN_DATA=tmp_path / "data", TERMIJN_REQUEST_KEY_FILE=key_path)
    assert key_id == read_key(key_path).key_id
    assert not (tmp_path / "data").exists()


def test_roles_with_a_configured_key_of_dead_letters_make_no_key_of_requests(
    tmp_path: Path,
) -> None:
    """After an upgrade each would make one that the others could not decrypt with."""
    shared = key_file(tmp_path / "dead-letters.key", b"d")
    with pytest.raises(InvalidSetting) as refused:
        sealed_by(TERMIJN_DATA=tmp_path / "data", TERMIJN_KEY_FILE=shared)
    assert str(refused.value) == (
        "environment: TERMIJN_REQUEST_KEY_FILE: is not set, but TERMIJN_KEY_FILE is; create one"
        " file for all roles that share the ledger (`openssl rand -base64 32`, mode 0600)"
    )
    assert not (tmp_path / "data" / "requests.key").exists()


def test_roles_that_only_park_need_no_key_of_requests(tmp_path: Path) -> None:
    """Tagger, recorder and acknowledgements."""
    shared = key_file(tmp_path / "dead-letters.key", b"d")
    chosen = settings_loader.load(
        {"TERMIJN_KEY_FILE": str(shared), "TERMIJN_DATA": str(tmp_path / "d")}
    )
    with resources.open_resources(chosen) as opened:
        assert opened.dead_letter_cipher().key_id == read_key(shared).key_id


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"keys": [{"kty": "OKP", "crv": "Ed25519", "d": "CANARY"}]}', "cannot be read"),
        (base64.b64encode(b"short").decode(), "is not a key of 32 bytes"),
    ],
    ids=["a signing key", "too short"],
)
def test_a_key_of_the_wrong_kind_is_named_and_not_shown(
    tmp_path: Path, text: str, why: str
) -> None:
    """It is not overwritten either, since it may be needed."""
    path = tmp_path / "requests.key"
    path.write_text(text, "ascii")
    path.chmod(0o600)
    for variables in ({"TERMIJN_REQUEST_KEY_FILE": path}, {"TERMIJN_DATA": tmp_path}):
        with pytest.raises(InvalidKeyFile) as refused:
            sealed_by(**variables)
        assert str(refused.value).startswith(f"{path}: {why}")
        assert "CANARY" not in str(refused.value)
    assert path.read_text("ascii") == text


def test_a_role_that_decrypts_makes_no_key_of_dead_letters(
    tmp_path: Path,
) -> None:
    """A new one would decrypt nothing."""
    with resources.open_resources(settings_loader.load({"TERMIJN_DATA": str(tmp_path)})) as opened:
        keys = opened.request_keys()
        with pytest.raises(InvalidKeyFile):
            keys.former_cipher()
    assert not (tmp_path / "dead-letters.key").exists()
