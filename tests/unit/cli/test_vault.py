"""`termijn vault`, and publishing under a policy that encrypts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import yaml

from services import bootstrap, settings
from services.publishing import Publisher
from tests.e2e.running import structured
from tests.unit.cli.conftest import Call, Write
from tests.unit.fields.stage import document, order

MASTERS = Path(".termijn/master-keys")


@pytest.fixture
def encrypting(tmp_path: Path, termijn: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy at hand encrypts orders."""
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump(document(), sort_keys=False), "utf-8")
    monkeypatch.setenv("TERMIJN_POLICY", str(file))


def messages(file: Path) -> list[bytes]:
    """The values that a file of events would be published as."""
    with bootstrap.root(settings.load()) as opened:
        policy = opened.policy()
        publisher = Publisher(
            policy=policy,
            codec=opened.codec(),
            sender=None,  # type: ignore[arg-type]  # nothing is sent
            encryption=opened.encryption(policy),
        )
        return [one.value or b"" for one in publisher.of_file(file, None)]


@pytest.mark.usefixtures("encrypting")
def test_publishing_encrypts_what_the_policy_names(termijn: Call, events: Write) -> None:
    """By itself, and the same each time."""
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
    """Its number, its field, and nothing of what stands there."""
    file = events([structured(order()), structured(order("O2", remarks=12))])
    with pytest.raises(Exception, match=r"events.jsonl:2: remarks: is no text"):
        messages(file)


@pytest.mark.usefixtures("termijn")
def test_without_encrypted_fields_there_is_no_vault(events: Write) -> None:
    """The shipped policy makes none."""
    assert b"canary-name-O1" in messages(events([structured(order())]))[0]
    assert not Path(".termijn").exists()


@pytest.mark.usefixtures("encrypting")
def test_a_master_key_is_rotated_and_then_destroyed(termijn: Call, events: Write) -> None:
    """Not at once: publishers have ten minutes to look again, and the operator a week."""
    messages(events([structured(order())]))
    [first] = [row["name"] for row in termijn("vault", "status", "--json").rows[:1]]
    rotated = termijn("vault", "rotate")
    assert "wraps 2 keys anew" in rotated.out
    assert rotated.out.endswith(f"back the vault up, and then: termijn vault destroy {first}\n")
    assert "publishers may use it for ten minutes" in termijn("vault", "destroy", first).err

    week_ago = time.time() - 8 * 24 * 3600
    os.utime(MASTERS / "0002.key", (week_ago, week_ago))
    overdue = termijn("vault", "status")
    assert overdue.code == 1
    assert overdue.err == f"termijn: `termijn vault destroy {first}` is overdue\n"
    assert termijn("vault", "destroy", first).code == 0
    assert [one.name for one in MASTERS.iterdir()] == ["0002.key"]
    assert termijn("vault", "status").code == 0


def test_a_directory_without_a_master_key_is_told(
    termijn: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotating makes the first; publishing never does where a directory is named."""
    monkeypatch.setenv("TERMIJN_MASTER_KEYS", str(tmp_path / "mounted"))
    assert termijn("vault", "status", "--json").rows == []
    assert "0001.key" in termijn("vault", "rotate").out
