"""`termijn policy schemas` and `lint --schemas`: a company writes YAML only, and schema files follow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from schemas.registry import RegisteredSchema
from tests.contract.event_builders import event
from tests.unit.cli.conftest import Call, Write
from tests.unit.policy.small import SMALL, replaced

TYPES = ("club.left", "club.visited")


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, termijn: Call) -> Path:
    """The small policy, configured, with two event types."""
    path = tmp_path / "policy.yaml"
    monkeypatch.setenv("TERMIJN_POLICY", str(path))
    path.write_text(text(), "utf-8")
    return path


def text(visited: str = "{guest_id: {}}") -> str:
    """The small policy's own sections, with two event types; `visited` has the fields of one."""
    return SMALL[: SMALL.index("events:")] + (
        "events:\n"
        "  club.left:\n"
        "    process: a\n"
        "    fields: {client_id: {}}\n"
        "    moves: [{clock: membership, move: end}]\n"
        "  club.visited:\n"
        "    process: a\n"
        f"    fields: {visited}\n"
        "    subject: [{kind: guest, field: guest_id}]\n"
        "    categories: [contact]\n"
        "    holdings: [{purpose: care, basis: contract, rule: year, systems: [app]}]\n"
    )


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_written_for_each_type_that_has_none(
    termijn: Call, policy: Path, tmp_path: Path
) -> None:
    """And none when it is done again."""
    rows = termijn("policy", "schemas", tmp_path / "avro", "--json").rows
    assert [(row["type"], row["version"]) for row in rows] == [(name, 1) for name in TYPES]
    assert names(tmp_path / "avro") == ["club.left.1.avsc", "club.visited.1.avsc"]
    assert termijn("policy", "schemas", tmp_path / "avro", "--json").rows == []


def test_types_that_ship_with_a_schema_get_none(
    termijn: Call, policy: Path, tmp_path: Path
) -> None:
    """Such as those of `include: gdpr`."""
    policy.write_text(replaced(text(), "controller:", "include: gdpr\ncontroller:"), "utf-8")
    rows = termijn("policy", "schemas", tmp_path / "avro", "--json").rows
    assert [row["type"] for row in rows] == list(TYPES)


def test_a_field_that_is_added_later_makes_another_version(
    termijn: Call, policy: Path, tmp_path: Path
) -> None:
    """The first version stays as it is: messages of it are on Kafka."""
    avro = tmp_path / "avro"
    assert termijn("policy", "schemas", avro).code == 0
    first = (avro / "club.visited.1.avsc").read_text("utf-8")
    policy.write_text(text("{guest_id: {}, door: {required: false}}"), "utf-8")
    [row] = termijn("policy", "schemas", avro, "--json").rows
    assert (row["type"], row["version"]) == ("club.visited", 2)
    assert (avro / "club.visited.1.avsc").read_text("utf-8") == first
    second = json.loads((avro / "club.visited.2.avsc").read_text("utf-8"))
    assert [field["name"] for field in second["fields"]] == ["guest_id", "door"]
    assert termijn("policy", "lint", policy, "--schemas", avro).code == 0


def test_a_field_whose_type_changes_is_reported(
    termijn: Call, policy: Path, tmp_path: Path
) -> None:
    """No version could read the others: the field needs another name."""
    avro = tmp_path / "avro"
    policy.write_text(text("{guest_id: {}, gift: {}}"), "utf-8")
    assert termijn("policy", "schemas", avro).code == 0
    policy.write_text(text("{guest_id: {}, gift: {type: boolean}}"), "utf-8")
    for command in (("schemas", avro), ("lint", policy, "--schemas", avro)):
        outcome = termijn("policy", *command)
        assert outcome.code == 1
        problem = "fields.gift: has type boolean, and another one in club.visited.1.avsc"
        assert f"events.club.visited.{problem}" in outcome.err
    assert names(avro) == ["club.left.1.avsc", "club.visited.1.avsc"]


def test_lint_names_a_field_that_a_schema_lacks(
    termijn: Call, policy: Path, tmp_path: Path
) -> None:
    """The file was not written again after the policy had changed."""
    avro = tmp_path / "avro"
    assert termijn("policy", "schemas", avro).code == 0
    policy.write_text(text("{guest_id: {}, door: {}}"), "utf-8")
    outcome = termijn("policy", "lint", policy, "--schemas", avro)
    assert outcome.code == 1
    assert (
        "events.club.visited.fields.door: is not in club.visited.1.avsc: every event would be parked"
        in outcome.err
    )


def test_publishing_needs_no_schema_file(termijn: Call, policy: Path, events: Write) -> None:
    """The dry run encodes with the derived schema, and finds what it does not have."""
    visit = event("v1", "club.visited", "2026-03-15T13:00:00Z", guest_id="G1")
    [row] = termijn("publish", events([visit]), "--dry-run", "--json").rows
    assert row["outcome"] == "recorded"
    typo = {**visit, "id": "v2", "data": {"guest_id": "G1", "dor": "1"}}
    outcome = termijn("publish", events([typo]), "--dry-run")
    assert outcome.code == 1
    assert "dor" in outcome.err


class _Registry:
    """A registry with a schema of one topic."""

    def __init__(self, text: str) -> None:
        self._text = text

    def list_versions(self, topic: str) -> Sequence[RegisteredSchema]:
        if topic != "club.visited.v1":
            return []
        return [RegisteredSchema(version=3, id=1, text=self._text)]


OTHER: dict[str, Any] = {
    "type": "record",
    "name": "Visited",
    "namespace": "example.club",
    "fields": [{"name": "guest_id", "type": "string"}, {"name": "door", "type": "int"}],
}


@pytest.mark.parametrize(
    ("fields", "versions"),
    [("{guest_id: {}}", [3]), ("{guest_id: {}, gift: {required: false}}", [3, 4])],
)
def test_a_schema_that_a_registry_has_is_taken_over(
    termijn: Call,
    policy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fields: str,
    versions: list[int],
) -> None:
    """Publishers use it already; what the policy needs besides is in a version after it."""
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1")
    registry = _Registry(json.dumps(OTHER))
    monkeypatch.setattr("services.app.wiring.resources.open_registry", lambda *_: registry)
    policy.write_text(text(fields), "utf-8")
    rows = termijn("policy", "schemas", tmp_path / "avro", "--registry", "--json").rows
    assert [row["version"] for row in rows if row["type"] == "club.visited"] == versions
    written = json.loads((tmp_path / "avro" / "club.visited.3.avsc").read_text("utf-8"))
    assert written == OTHER


def test_a_registry_with_something_else_is_one_clear_line(
    termijn: Call, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written."""
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1")
    registry = _Registry('{"type": "record"}')
    monkeypatch.setattr("services.app.wiring.resources.open_registry", lambda *_: registry)
    outcome = termijn("policy", "schemas", tmp_path / "avro", "--registry")
    assert outcome.code == 1
    assert outcome.err.startswith("termijn: club.visited.3.avsc: is not a usable schema: ")
    assert names(tmp_path / "avro") == []


def test_without_a_registry_none_can_be_asked(termijn: Call, policy: Path, tmp_path: Path) -> None:
    outcome = termijn("policy", "schemas", tmp_path / "avro", "--registry")
    assert (outcome.code, outcome.err) == (
        1,
        "termijn: no schema registry is configured; set SCHEMA_REGISTRY_URL\n",
    )
