"""`termijn vault`, and publishing under a policy that encrypts."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from services.app import settings_loader
from services.app.wiring import resources
from services.crypto.master_keys import NoMasterKey
from services.events.publisher import Publisher
from tests.e2e.running import structured
from tests.unit.cli.conftest import Call, Write
from tests.unit.crypto.stage import document, order

MASTERS = Path(".termijn/master-keys")


@pytest.fixture
def encrypting(tmp_path: Path, termijn: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configured policy encrypts orders."""
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump(document(), sort_keys=False), "utf-8")
    monkeypatch.setenv("TERMIJN_POLICY", str(file))


def messages(file: Path) -> list[bytes]:
    """Return the values that a file of events would be published as."""
    with resources.open_resources(settings_loader.load()) as opened:
        policy = opened.policy()
        publisher = Publisher(
            policy=policy,
            codec=opened.codec(),
            sender=None,  # type: ignore[arg-type]  # nothing is sent
            encryption=opened.field_encryption(policy),
        )
        return [message.value or b"" for message in publisher.messages_from_file(file, None)]


@pytest.mark.usefixtures("encrypting")
def test_publishing_encrypts_what_the_policy_names(termijn: Call, events: Write) -> None:
    """Encryption is automatic, and gives the same tokens each time."""
    file = events([structured(order(name)) for name in ("O1", "O2")])
    values = messages(file)
    assert not any(b"canary" in value for value in values)
    assert messages(file) == values
    rows = termijn("vault", "status", "--json").rows
    assert [(row["name"], row["keys"]) for row in rows if row["kind"] == "keys"] == [
        ("bus", 2),
        ("bus-books", 2),
    ]


@pytest.mark.usefixtures("encrypting")
def test_a_line_that_cannot_be_encrypted_is_named(termijn: Call, events: Write) -> None:
    """The error has the line's number and its field, and nothing of its data."""
    file = events([structured(order()), structured(order("O2", remarks=12))])
    with pytest.raises(Exception, match=r"events.jsonl:2: remarks: is not text"):
        messages(file)


@pytest.mark.usefixtures("termijn")
def test_without_encrypted_fields_there_is_no_vault(events: Write) -> None:
    """The shipped policy makes none."""
    assert b"canary-name-O1" in messages(events([structured(order())]))[0]
    assert not Path(".termijn").exists()


@pytest.mark.usefixtures("encrypting")
def test_a_master_key_is_rotated_and_then_destroyed(termijn: Call, events: Write) -> None:
    """Publishers reload keys within ten minutes, and the operator waits a week."""
    messages(events([structured(order())]))
    [first] = [row["name"] for row in termijn("vault", "status", "--json").rows[:1]]
    rotated = termijn("vault", "rotate")
    assert "wraps 2 keys" in rotated.out
    assert rotated.out.endswith(f"back up the vault, then run: termijn vault destroy {first}\n")
    assert "publishers may still use it" in termijn("vault", "destroy", first).err

    week_ago = time.time() - 8 * 24 * 3600
    os.utime(MASTERS / "0002.key", (week_ago, week_ago))
    overdue = termijn("vault", "status")
    assert overdue.code == 1
    assert overdue.err == f"termijn: `termijn vault destroy {first}` is overdue\n"
    assert termijn("vault", "destroy", first).code == 0
    assert [path.name for path in MASTERS.iterdir()] == ["0002.key"]
    assert termijn("vault", "status").code == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TERMIJN_MASTER_KEYS", "mounted"), ("TERMIJN_VAULT_URL", "sqlite:///shared.sqlite")],
)
@pytest.mark.usefixtures("encrypting")
def test_publishing_does_not_make_a_master_key_that_others_need_too(
    termijn: Call, monkeypatch: pytest.MonkeyPatch, events: Write, variable: str, value: str
) -> None:
    """Rotating makes the first; publishing does not, since no other host could decrypt with its key."""
    monkeypatch.setenv(variable, value)
    file = events([structured(order())])
    assert termijn("vault", "status", "--json").rows == []
    with pytest.raises(NoMasterKey, match="`termijn vault rotate` creates the first one"):
        messages(file)
    assert "0001.key" in termijn("vault", "rotate").out
    assert len(messages(file)) == 1


@pytest.mark.usefixtures("encrypting")
def test_an_orphaned_key_is_listed_and_shredded_by_a_named_operator(
    termijn: Call, events: Write
) -> None:
    """Its event was never recorded; the operator's action stays recorded."""
    termijn("ledger", "migrate")
    messages(events([structured(order())]))
    assert termijn("vault", "check", "--json").rows == []
    outcome = termijn("vault", "check", "--older-than", "PT0S", "--json")
    assert (outcome.code, outcome.err) == (1, "termijn: 2 keys have no term\n")
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert {(row["system"], row["why"]) for row in rows} == {
        ("bus", "unrecorded"),
        ("bus-books", "unrecorded"),
    }
    keys = [row["key"] for row in rows]
    assert termijn("vault", "shred", *keys, "--reason", "test").code == 1
    wrong = termijn("vault", "shred", keys[0], "x", "--operator", "Ada", "--reason", "test")
    assert wrong.err == "termijn: x: no key has this id; nothing was destroyed\n"
    shredded = termijn("vault", "shred", *keys, "--operator", "Ada", "--reason", "never published")
    assert shredded.out == "destroyed 2 keys\n"
    assert termijn("vault", "check", "--older-than", "PT0S").code == 0
    with closing(sqlite3.connect(".termijn/ledger.sqlite")) as ledger:
        noted = ledger.execute("SELECT operator, action, target FROM operator_action").fetchall()
    assert sorted(noted) == sorted(
        ("Ada", "shred", f"{row['system']} {row['key']}") for row in rows
    )
