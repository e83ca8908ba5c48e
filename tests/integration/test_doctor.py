"""`termijn doctor` on real Kafka and PostgreSQL finds nothing, and then each fault that is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy import make_url, text

from services.app.cli.main import termijn
from services.crypto.key_directory import KeyDirectory
from services.kafka import client
from services.kafka.topic_admin import TopicAdmin
from services.ledger import migrate
from services.policy.loader import load
from services.storage.database import open_database
from tests.servers.kafka import KafkaCluster

SHIPPED = Path(__file__).parents[2] / "services" / "policy" / "optimum_pos.yaml"
ORDERS = "orders.order-placed.v1"


@pytest.fixture(scope="module")
def whole(
    kafka: KafkaCluster, postgres: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The settings of a deployment in which nothing is wrong."""
    kafka.clear()
    data = tmp_path_factory.mktemp("doctor")
    keys = KeyDirectory(path=data / "keys")
    keys.create()
    for system in load().systems:
        keys.trust(system, keys.create(system))
    url = postgres()
    with closing(open_database(url)) as ledger:
        migrate.migrate(ledger)
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
        "TERMIJN_LEDGER_URL": url,
        "TERMIJN_DATA": str(data),
        "TERMIJN_KEYS": str(keys.path),
    }
    applied = CliRunner().invoke(termijn, ["topics", "apply"], env=settings)
    assert applied.exit_code == 0
    yield settings
    kafka.clear()


def run_doctor(settings: dict[str, str], exit_code: int) -> list[dict[str, Any]]:
    """Return the doctor's errors and warnings."""
    outcome = CliRunner().invoke(termijn, ["doctor", "--json", "--problems"], env=settings)
    assert outcome.exit_code == exit_code, outcome.output
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def find_faults(settings: dict[str, str]) -> list[dict[str, Any]]:
    """Return the faults as the doctor prints them."""
    return [check for check in run_doctor(settings, 1) if check["state"] == "error"]


def faults(settings: dict[str, str]) -> dict[str, str]:
    """Return the remedy of each fault, by its check."""
    return {check["check"]: check["fix"] for check in find_faults(settings)}


def test_the_doctor_finds_no_fault_where_nothing_is_wrong(whole: dict[str, str]) -> None:
    """The warnings are only that broker and ledger allow everything, and that no role has started yet."""
    findings = run_doctor(whole, 0)
    assert [(check["check"], check["state"]) for check in findings] == [
        ("acls", "warning"),
        ("database login", "warning"),
        ("active policy", "warning"),
    ]


def execute_as_owner(settings: dict[str, str], *statements: str) -> None:
    """Change the ledger's database as its owner."""
    with (
        closing(open_database(settings["TERMIJN_LEDGER_URL"])) as ledger,
        ledger.transaction() as connection,
    ):
        for statement in statements:
            connection.execute(text(statement))


MAY_NOT_READ = (
    "skipped",
    "",
    "the database login has no privilege to read it, and its role needs none",
)


def test_a_login_with_more_rights_than_its_role_is_reported(whole: dict[str, str]) -> None:
    """The tagger's login is checked as it should be, with rights too many, and with rights missing."""
    url = make_url(whole["TERMIJN_LEDGER_URL"])
    own = url.set(username="doctored").render_as_string(hide_password=False)
    settings = {**whole, "TERMIJN_LEDGER_URL": own}

    def check_login_after(*statements: str) -> list[tuple[str, str, str]]:
        execute_as_owner(whole, *statements)
        outcome = CliRunner().invoke(termijn, ["doctor", "--json"], env=settings)
        lines = [json.loads(line) for line in outcome.stdout.splitlines() if line.startswith("{")]
        about = ("database login", "database roles", "requests")
        return [
            (line["state"], line["target"], line["result"])
            for line in lines
            if line["check"] in about
        ]

    assert check_login_after("CREATE ROLE doctored LOGIN IN ROLE termijn_tagger") == [
        ("ok", "doctored", "has the privileges of the tagger and no more"),
        MAY_NOT_READ,
    ]
    assert check_login_after("GRANT DELETE ON record TO doctored") == [
        ("warning", "doctored", "may do more than the tagger: DELETE on record"),
        MAY_NOT_READ,
    ]
    assert check_login_after(
        "REVOKE DELETE ON record FROM doctored",
        "GRANT termijn_rights TO doctored",
        "REVOKE INSERT ON answer FROM termijn_rights",
    ) == [
        (
            "error",
            "termijn_rights",
            "has no privilege for INSERT (data) on answer, INSERT (decided_at) on answer,"
            " INSERT (event_type) on answer and 4 more",
        ),
        ("warning", "doctored", "is one login for several roles: rights, tagger"),
        ("ok", "", "0 keys can be opened"),
    ]
    [(state, login, what)] = check_login_after(
        "GRANT INSERT ON answer TO termijn_rights",
        "REVOKE termijn_rights, termijn_tagger FROM doctored",
    )
    assert (state, login) == ("error", "doctored")
    assert what.startswith(
        "has no privilege to read the ledger: ProgrammingError: permission denied"
    )
    execute_as_owner(whole, "DROP ROLE doctored")


def test_a_missing_topic_and_one_kept_without_limit_are_reported(
    whole: dict[str, str], kafka: KafkaCluster
) -> None:
    """Both are named, and `termijn topics apply` fixes both."""
    kafka.delete_topics(["retention.dead-letters.v1"])
    TopicAdmin(admin=kafka.admin).set_config(ORDERS, {"retention.ms": "-1"})
    findings = find_faults(whole)
    assert sorted((check["target"], check["fix"]) for check in findings) == [
        (ORDERS, "`termijn topics apply`"),
        ("retention.dead-letters.v1", "`termijn topics apply`"),
    ]
    CliRunner().invoke(termijn, ["topics", "apply"], env=whole)
    assert [check["check"] for check in run_doctor(whole, 0)] == [
        "acls",
        "database login",
        "active policy",
    ]


def test_a_database_without_its_schema_is_reported(
    whole: dict[str, str], postgres: Callable[[], str]
) -> None:
    """The database answers, but lacks the tables."""
    findings = faults({**whole, "TERMIJN_LEDGER_URL": postgres()})
    assert findings == {"migrations": "`termijn ledger migrate`"}


def test_a_database_that_does_not_answer_is_reported(whole: dict[str, str]) -> None:
    """The fault is one line without the database's password."""
    url = "postgresql+psycopg://termijn:hidden@127.0.0.1:1/ledger"
    [finding] = find_faults({**whole, "TERMIJN_LEDGER_URL": url})
    assert finding["check"] == "database"
    assert "TERMIJN_LEDGER_URL" in finding["fix"]
    assert "hidden" not in json.dumps(finding)


def test_the_doctor_does_not_make_a_sqlite_ledger(whole: dict[str, str], tmp_path: Path) -> None:
    """There is none before the check and none after it."""
    file = tmp_path / "ledger.sqlite"
    assert faults({**whole, "TERMIJN_LEDGER_URL": f"sqlite:///{file}"}) == {
        "database": "`termijn ledger migrate`"
    }
    assert not file.exists()


def test_a_broker_that_does_not_answer_is_reported(
    whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other checks run all the same."""
    monkeypatch.setattr(client, "_CALL_SECONDS", 0.5)
    findings = faults({**whole, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert list(findings) == ["broker"]
    assert "KAFKA_BOOTSTRAP_SERVERS" in findings["broker"]


def test_an_invalid_policy_is_reported(whole: dict[str, str], tmp_path: Path) -> None:
    """The remedy is the command that shows every error of the policy."""
    broken = tmp_path / "policy.yaml"
    broken.write_text(SHIPPED.read_text("utf-8").replace("controller:", "controler:", 1), "utf-8")
    findings = faults({**whole, "TERMIJN_POLICY": str(broken)})
    assert findings == {"policy": "fix the lines that `termijn policy lint` names"}


def test_another_policy_than_the_active_one_is_reported(
    whole: dict[str, str], tmp_path: Path
) -> None:
    """The roles run with the one that the ledger keeps, so it is a warning."""
    ledger = {**whole, "TERMIJN_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.sqlite'}"}
    call = CliRunner().invoke
    assert call(termijn, ["ledger", "migrate"], env=ledger).exit_code == 0
    words = ["policy", "activate", "--operator", "eve", "--reason", "first"]
    assert call(termijn, words, env=ledger).exit_code == 0
    document = yaml.safe_load(SHIPPED.read_text("utf-8"))
    document["version"] = "other"
    other = tmp_path / "policy.yaml"
    other.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    checks = run_doctor({**ledger, "TERMIJN_POLICY": str(other)}, 0)
    [finding] = [check for check in checks if check["check"] == "active policy"]
    assert finding["state"] == "warning"
    assert "termijn policy activate" in finding["fix"]
