"""`termijn agent`: what its commands show, and how they fail."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.agent import config
from services.app.cli.main import termijn
from services.storage.database import open_database
from services.storage.gaps import OffsetGap, record_gap
from services.storage.offsets import PartitionId
from tests.unit.agent.environment import T0, command, record

FIELDS = {"corrected_fields": ("delivery_name",)}
EXAMPLES = Path(config.__file__).parent / "examples"


@pytest.fixture
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the example, with its database beside it."""
    with closing(sqlite3.connect(tmp_path / "crm.sqlite")) as database:
        database.executescript((EXAMPLES / "crm" / "schema.sql").read_text("utf-8"))
    file = tmp_path / "agent.yaml"
    file.write_text((EXAMPLES / "crm" / "agent.yaml").read_text("utf-8"), "utf-8")
    monkeypatch.setenv("CRM_DATABASE_URL", "sqlite:///crm.sqlite")
    monkeypatch.setenv("CRM_PSEUDONYM_KEY", "a key")
    return file


def write_command(tmp_path: Path, **further: Any) -> str:
    file = tmp_path / "command.json"
    file.write_text(json.dumps(command(**further).as_json()), "utf-8")
    return str(file)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(termijn, ["agent", *map(str, arguments)], catch_exceptions=True)


def test_a_plan_shows_the_statements_with_their_values(crm: Path, tmp_path: Path) -> None:
    """Bound, whatever they look like."""
    file = write_command(tmp_path, records=(record("O1' OR 1=1"),))
    outcome = run("plan", "--config", crm, "--json", file)
    lines = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [line["statement"].split()[:3] for line in lines] == [
        ["DELETE", "FROM", "order_lines"],
        ["DELETE", "FROM", "orders"],
    ]
    # Twice: plainly, so that an index serves, and by its bytes, whatever a collation takes for equal.
    assert set(lines[0]["parameters"].values()) == {"O1' OR 1=1"}
    assert outcome.exit_code == 0


@pytest.mark.parametrize(
    ("action", "first"),
    [
        ("erase", "DELETE FROM order_lines"),
        ("pseudonymise", "UPDATE order_lines SET engraving=NULL"),
        ("restrict", "UPDATE orders SET restricted=?"),
        ("rectify", "UPDATE orders SET recipient=NULL"),
        ("disclose", "SELECT order_lines.product"),
        ("verify", "SELECT count(*) AS count_1"),
    ],
)
def test_each_action_has_its_plan(crm: Path, tmp_path: Path, action: str, first: str) -> None:
    """The plan is readable SQL."""
    outcome = run("plan", "--config", crm, write_command(tmp_path, action=action, **FIELDS))
    assert outcome.stdout.startswith(first)


def test_a_plan_shows_what_could_not_be_carried_out(crm: Path, tmp_path: Path) -> None:
    """The exit code shows that the plan is incomplete."""
    outcome = run("plan", "--config", crm, write_command(tmp_path, records=(record(""),)))
    assert outcome.exit_code == 1
    assert "came without a key to find its rows" in outcome.output


def test_a_plan_for_a_hook_is_what_the_hook_would_get(tmp_path: Path) -> None:
    """One JSON object."""
    outcome = run("plan", "--config", EXAMPLES / "hook" / "agent.yaml", write_command(tmp_path))
    assert json.loads(outcome.stdout)["command"]["action"] == "erase"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"command_id": 1}'])
def test_a_file_that_is_not_a_command_is_named(crm: Path, tmp_path: Path, text: str) -> None:
    """The error states what is wrong with it."""
    file = tmp_path / "wrong.json"
    file.write_text(text, "utf-8")
    outcome = run("plan", "--config", crm, file)
    assert outcome.exit_code == 1
    assert outcome.output.startswith(f"Error: {file}: ")


def test_a_gap_waits_until_an_operator_accepts_it(crm: Path, tmp_path: Path) -> None:
    """The operator's name and the reason are recorded."""
    assert run("status", "--config", crm).exit_code == 0
    topic = "retention.commands.crm.v1"
    log = PartitionId(cluster_id="c", topic=topic, topic_id="t", partition=1)
    gap = OffsetGap(role="agent", log=log, expected=3, low=7, high=9)
    with (
        closing(open_database(f"sqlite:///{tmp_path}/inbox.sqlite")) as inbox,
        inbox.transaction() as connection,
    ):
        record_gap(connection, gap, T0)
    status = json.loads(run("status", "--config", crm, "--json").stdout)
    assert status["gaps"] == [f"{topic} 1"]
    nameless = run("gaps", "accept", "--config", crm, "1", "--reason", "restored")
    assert nameless.exit_code == 1
    outcome = run(
        "gaps", "accept", "--config", crm, "1", "--operator", "Anna", "--reason", "restored"
    )
    assert outcome.stdout == "continues at offset 7\n"
    assert json.loads(run("status", "--config", crm, "--json").stdout)["gaps"] == []


def test_a_replay_has_an_operator_and_reports_its_size(crm: Path) -> None:
    """It replays nothing where nothing was carried out."""
    since = ("--since", "2026-03-15T13:00:00Z", "--reason", "restored")
    assert run("replay", "--config", crm, *since).exit_code == 1
    outcome = run("replay", "--config", crm, *since, "--operator", "Anna")
    assert outcome.stdout == "0 commands will be carried out again when they are repeated\n"


def test_an_agent_without_keys_does_not_start(crm: Path) -> None:
    """It names the file that is missing."""
    outcome = run("--config", crm)
    assert outcome.exit_code == 1
    assert "crm.private.jwks: does not exist" in str(outcome.exception)
