"""Each role works with a database login of its own, which has only the rights that the role needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import make_url

from services.app.cli.main import termijn
from services.ledger.grants import GRANTS
from services.storage.database_roles import group_name
from tests.e2e.running import ROLES, Running, write_events
from tests.e2e.test_spine import EVENTS
from tests.servers.kafka import KafkaCluster

ASKED = (
    ("status",),
    ("commands", "list"),
    ("requests", "list"),
    ("holds", "list"),
    ("gaps", "list"),
    ("conflicts", "list"),
    ("dead-letters", "list"),
    ("sweep", "--dry-run", "--now", "2040-01-01T00:00:00Z"),
    ("vault", "check"),
    ("certificate", "consumer:K1", "--to", "{directory}/certificate"),
    ("evidence", "head"),
    ("evidence", "verify"),
    ("pause", "deleter", "--reason", "a look"),
    ("resume", "deleter", "--reason", "looked"),
)
"""What an operator asks and does."""


@pytest.fixture
def apart(
    fresh_kafka: KafkaCluster, postgres: Callable[[], str], tmp_path: Path
) -> Iterator[Running]:
    """Processes that reach one ledger by six logins; a seventh login has migrated it."""
    url = postgres()
    running = Running(tmp_path, fresh_kafka.bootstrap, url)
    migrated = running.run("ledger", "migrate")
    assert migrated.returncode == 0, migrated.stderr
    for role in GRANTS:
        running.execute(f"CREATE ROLE {role}_alone LOGIN IN ROLE {group_name(role)}")
        own = make_url(url).set(username=f"{role}_alone").render_as_string(hide_password=False)
        running.own[role if role in ROLES else "run"] = {"TERMIJN_LEDGER_URL": own}
    yield running
    running.end_all()
    running.execute(f"DROP ROLE {', '.join(f'{role}_alone' for role in GRANTS)}")


@pytest.mark.timeout(900)
def test_an_order_is_erased_and_proven_with_a_login_for_each_role(apart: Running) -> None:
    """No role lacks a right that it needs, and each connects with its own login."""
    apart.start(*ROLES, "sample-systems")
    completed = apart.history(write_events(apart.directory / "e.jsonl", EVENTS))
    assert completed.returncode == 0, completed.stderr
    apart.until(
        "three systems have proven it, and a controller has answered",
        lambda: (
            apart.count("command", "state = 'erased'") == 3
            and apart.count("command", "state = 'acknowledged' AND system = 'psp'") == 1
        ),
        seconds=300,
    )
    apart.until("the evidence is signed", lambda: apart.count("evidence_head") > 0, seconds=300)
    logins = apart.query("SELECT DISTINCT usename FROM pg_stat_activity WHERE usename ~ '_alone$'")
    assert {login for (login,) in logins} >= {f"{role}_alone" for role in ROLES}
    names = ("KAFKA_BOOTSTRAP_SERVERS", "TERMIJN_DATA", "TERMIJN_OPERATOR")
    settings = {**{name: apart.environment(name) for name in names}, **apart.own["run"]}
    for words in ASKED:
        arguments = [word.format(directory=apart.directory) for word in words]
        outcome = CliRunner().invoke(termijn, arguments, env=settings)
        assert outcome.exit_code == 0, (words, outcome.output, outcome.exception)
    for role in ROLES:
        assert "permission denied" not in apart.log(role)


def test_no_login_may_do_the_work_of_another_role(apart: Running) -> None:
    """The tagger's login cannot give an operator's order, directly or by changing its role."""
    apart.own["run"] = apart.own["tagger"]
    refused = apart.run("resume", "deleter", "--reason", "forged")
    assert refused.returncode == 1
    assert "ledger: login tagger_alone lacks privileges that the operators need" in refused.stderr
    assert "GRANT termijn_operators TO tagger_alone" in refused.stderr
    url = apart.own["tagger"]["TERMIJN_LEDGER_URL"].replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (
            "INSERT INTO command DEFAULT VALUES",
            "DELETE FROM record",
            "SET ROLE termijn_deleter",
            "RESET ROLE; DELETE FROM record",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
