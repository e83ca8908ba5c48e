"""`termijn keys`: what it makes, trusts and removes; it never prints a secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.crypto.key_directory import KeyDirectory
from services.crypto.keyring import new_key
from tests.unit.cli.conftest import Call

KEYS = Path(".termijn/keys")


def ring(name: str) -> list[dict[str, object]]:
    """Return the keys in a file of the directory."""
    return list(json.loads((KEYS / f"{name}.jwks").read_text())["keys"])


def state(termijn: Call, owner: str) -> list[tuple[str, str]]:
    """Return an owner's keys as they are listed: use and state."""
    rows = termijn("keys", "list", "--json").rows
    return [(row["use"], row["state"]) for row in rows if row["owner"] == owner]


def test_the_deleters_keys_are_made_once(termijn: Call) -> None:
    """A deployment runs the command each time."""
    first = termijn("keys", "make")
    assert first.out == termijn("keys", "make").out
    assert first.out.startswith(f"deleter: {ring('deleter')[0]['kid']} (sig)\n")
    assert state(termijn, "deleter") == [("sig", "holds")]


def test_a_system_gets_an_encryption_key(termijn: Call) -> None:
    """Corrections are encrypted to it; a second call makes no second key."""
    termijn("keys", "make", "crm", "--encryption")
    termijn("keys", "make", "crm", "--encryption")
    assert [key["crv"] for key in ring("crm")] == ["Ed25519", "X25519"]


def test_systems_without_keys_are_listed(termijn: Call) -> None:
    """Their answers would not be trusted."""
    assert state(termijn, "systems/crm") == [("sig", "missing")]


def test_a_trusted_system_has_its_key(termijn: Call, tmp_path: Path) -> None:
    """Made by the system's team, in its own directory."""
    theirs = KeyDirectory(path=tmp_path / "theirs")
    [key] = theirs.create("crm")
    trusted = termijn("keys", "trust", "crm", theirs.public("crm").path)
    assert (trusted.code, trusted.out) == (0, f"crm: {key.key_id} (sig)\n")
    assert state(termijn, "systems/crm") == [("sig", "holds")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nonsense", "is not JSON"),
        (
            json.dumps(new_key().as_jwk()),
            "contains a private key, which its owner must keep secret",
        ),
        (json.dumps(new_key("enc").public().as_jwk()), "contains no Ed25519 key"),
        ('{"keys": []}', "contains no Ed25519 key"),
    ],
)
def test_a_file_without_trustworthy_keys_is_refused(
    termijn: Call, tmp_path: Path, text: str, why: str
) -> None:
    """The file and the reason are named, and nothing is stored."""
    file = tmp_path / "theirs.jwks"
    file.write_text(text)
    refused = termijn("keys", "trust", "crm", file)
    assert refused.code == 1
    assert refused.err.startswith(f"termijn: {file}: {why}")
    assert not (KEYS / "systems").exists()


@pytest.mark.parametrize("system", ["nobody", "../deleter"])
def test_only_systems_of_the_policy_are_trusted(termijn: Call, tmp_path: Path, system: str) -> None:
    """Under a wrong name a key would verify nothing, or be written elsewhere."""
    file = KeyDirectory(path=tmp_path / "theirs")
    file.create("crm")
    refused = termijn("keys", "trust", system, file.public("crm").path)
    assert refused.err == f"termijn: the policy has no system {system!r}\n"


def test_a_rotated_key_leaves_time_to_distribute_it(termijn: Call) -> None:
    """It signs from tomorrow on; until then the old one does, and is valid for a week."""
    termijn("keys", "make")
    output = termijn("keys", "rotate").out
    assert state(termijn, "deleter") == [("sig", "holds"), ("sig", "coming")]
    old, new = ring("deleter")
    assert output.startswith(f"deleter: {new['kid']} signs from ")
    assert old["exp"] - new["nbf"] == 7 * 24 * 3600  # type: ignore[operator]


def test_the_only_signing_key_is_not_retired(termijn: Call) -> None:
    """The deleter would stop; the error names what to do."""
    termijn("keys", "make")
    [key] = ring("deleter")
    refused = termijn("keys", "retire", key["kid"])
    assert refused.code == 1
    assert "`termijn keys rotate deleter --after PT0S` first" in refused.err
    termijn("keys", "rotate", "--after", "PT0S", "--overlap", "PT0S")
    assert termijn("keys", "retire", key["kid"]).out == "retired from deleter\n"
    assert key["kid"] not in [listed["kid"] for listed in ring("deleter")]


def test_a_stolen_key_of_a_system_is_retired_at_once(termijn: Call, tmp_path: Path) -> None:
    """Even if it is the only one: then no answer of that system is trusted, which is intended."""
    theirs = KeyDirectory(path=tmp_path / "theirs")
    [key] = theirs.create("crm")
    termijn("keys", "trust", "crm", theirs.public("crm").path)
    assert termijn("keys", "retire", key.key_id).out == "retired from systems/crm\n"
    assert state(termijn, "systems/crm") == [("sig", "missing")]


@pytest.mark.parametrize("key_id", ["-abc", "-hidden", "--abc"])
def test_a_key_id_that_begins_with_a_hyphen_is_not_an_option(termijn: Call, key_id: str) -> None:
    """One in 64 does."""
    termijn("keys", "make")
    assert f"no key has the id '{key_id}'" in termijn("keys", "retire", key_id).err


def test_retiring_a_key_that_does_not_exist_fails(termijn: Call) -> None:
    """A typing error must not look like success."""
    refused = termijn("keys", "retire", "x").err
    assert refused == "termijn: no key has the id 'x'; `termijn keys list` shows them\n"


@pytest.mark.parametrize(
    "arguments",
    [("make", "../x"), ("make", "A"), ("rotate", "--after", "P1M"), ("rotate", "--after", "soon")],
)
def test_names_that_are_paths_and_invalid_durations_are_refused(
    termijn: Call, arguments: tuple[str, ...]
) -> None:
    """The command stores nothing."""
    assert termijn("keys", *arguments).code == 1


def test_no_private_part_is_printed(termijn: Call, tmp_path: Path) -> None:
    """This holds for every command and every format."""
    outcomes = [termijn("keys", "make", "--encryption")]
    outcomes += [
        termijn("keys", "rotate"),
        termijn("keys", "list"),
        termijn("keys", "list", "--json"),
    ]
    secrets = [str(key["d"]) for key in ring("deleter.private")]
    outcomes.append(termijn("keys", "trust", "crm", KEYS / "deleter.private.jwks"))
    outcomes += [termijn("keys", "retire", str(key["kid"])) for key in ring("deleter.private")]
    assert len(secrets) == 3
    assert not [
        outcome for outcome in outcomes for secret in secrets if secret in outcome.out + outcome.err
    ]
