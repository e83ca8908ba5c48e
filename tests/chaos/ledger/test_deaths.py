"""A role that dies at any step loses and duplicates nothing: the next start completes the work.

The death is real: SIGKILL, in a process of its own, on a ledger on disk. Afterwards all events are
delivered again. The facts must then be those of one undisturbed batch, and each step of each record
must be commanded under one id.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from services.ledger import migrate, tables
from services.ledger.recording import record
from services.storage.database import Database, open_database
from tests.chaos.ledger.victim import STEPS, Death, read_commands, run
from tests.contract.event_builders import (
    Event,
    arrival,
    contact_changed,
    engaged,
    feedback,
    invoice,
    order,
    reinstated,
    signed_up,
    supplier_ended,
    terminated,
    ticket,
    ticket_resolved,
)
from tests.contract.ledgers import (
    POLICY,
    instant,
    load_facts,
    new_ledger,
    record_events,
    select_rows,
)
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.chaos

ROOT = Path(__file__).parents[3]
JOINED, ENDED = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z"
NOW, NEXT_DAY = "2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z"


def events() -> list[Event]:
    """Some events of every kind, and a customer with more records than one claim takes."""
    history = [
        *[invoice(f"i{number:03}", JOINED) for number in range(60)],
        *[feedback(f"f{number}", f"2021-01-{number + 1:02}T00:00:00Z") for number in range(9)],
        *[order(f"o{number}", f"2021-02-{number + 1:02}T00:00:00Z", "7") for number in range(9)],
        terminated("t1", ENDED),
        signed_up("s2", JOINED, "2"),
        terminated("t2", ENDED, "2"),
        reinstated("r2", "2021-01-01T12:00:00Z", "2"),
        ticket("k1", JOINED, ["1", "2"], shared_with=["repair", "research"]),
        ticket_resolved("k2", ENDED),
        engaged("e1", JOINED, "1"),
        contact_changed("e2", ENDED, "1", "2"),
        supplier_ended("e3", "2021-06-01T12:00:00Z"),
    ]
    random.Random(3).shuffle(history)
    return [*history, *history[:10]]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """The result of one batch and one undisturbed deleter for the events."""
    folder = _folder(tmp_path_factory.mktemp("calm"))
    ledger = new_ledger("sqlite://")
    record_events(ledger, events(), NOW)
    run(ledger, folder, instant(NOW), Death(None))
    return ledger


def _folder(folder: Path) -> Path:
    lines = "".join(json.dumps(event) + "\n" for event in events())
    (folder / "events.jsonl").write_text(lines, "utf-8")
    return folder


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty ledger on disk."""
    database_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if request.param == "postgres":
        database_url = request.getfixturevalue("postgres")()
    with closing(open_database(database_url)) as ledger:
        migrate.create_schema(ledger)
    return database_url


def start(url: str, folder: Path, now: str, *step: str) -> subprocess.Popen[str]:
    """Start the process that will be killed."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.ledger.victim", url, str(folder), now, *step],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def check(url: str, folder: Path, calm: Database) -> None:
    """Check that facts are exact, and every step is commanded by one id, sent and acknowledged."""
    with closing(open_database(url)) as ledger:
        assert load_facts(ledger) == load_facts(calm)
        assert _live(ledger) == _live(calm)
        assert {row.state for row in select_rows(ledger, tables.command)} == {"acknowledged"}
        out = {sent["command_id"] for sent in read_commands(folder)}
        assert out == {str(row.command_id) for row in select_rows(ledger, tables.command)}
    by_record = defaultdict(set)
    for command in read_commands(folder):
        for of in command["records"]:
            step = (command["action"], *command["purposes"])
            by_record[of["id"], command["subject"], command["system"], step].add(
                command["command_id"]
            )
    assert {len(ids) for ids in by_record.values()} == {1}


def _live(ledger: Database) -> set[tuple[object, ...]]:
    return {
        (row.record_id, row.system, row.step)
        for row in select_rows(ledger, tables.member, live=True)
    }


@pytest.mark.parametrize("step", [*(f"{step}#2" for step in STEPS), "relay:produced#1"])
def test_a_kill_at_any_step_loses_nothing(
    url: str, tmp_path: Path, calm: Database, step: str
) -> None:
    """The steps are around the commit, between lease and send, and between the bus and the mark."""
    folder = _folder(tmp_path)
    victim = start(url, folder, NOW, step)
    output, _ = victim.communicate(timeout=600)
    assert victim.returncode == -signal.SIGKILL, output
    survivor = start(url, folder, NEXT_DAY)
    output, _ = survivor.communicate(timeout=600)
    assert output == "begun\nalive\n"
    check(url, folder, calm)


def test_kills_at_random_moments_lose_nothing(url: str, tmp_path: Path, calm: Database) -> None:
    """Each start comes a day later, when every lease has run out."""
    folder = _folder(tmp_path)
    chance = random.Random(11)
    deaths = 0
    for day in range(1, 7):
        victim = start(url, folder, f"2030-01-{day:02}T00:00:00Z")
        assert victim.stdout
        assert victim.stdout.readline() == "begun\n"
        time.sleep(chance.uniform(0.02, 0.4))
        victim.kill()
        victim.communicate(timeout=600)
        deaths += victim.returncode == -signal.SIGKILL
    assert deaths
    survivor = start(url, folder, "2030-02-01T00:00:00Z")
    output, _ = survivor.communicate(timeout=600)
    assert output == "begun\nalive\n"
    check(url, folder, calm)


@pytest.fixture
def own_postgres(postgres_server: PostgresServer) -> Iterator[tuple[PostgresServer, Database]]:
    """A PostgreSQL for this test alone, with a ledger that stays open while the server is killed."""
    with closing(open_database(postgres_server.fresh_database())) as ledger:
        migrate.migrate(ledger)
        yield postgres_server, ledger


def test_a_database_that_dies_in_a_transaction_keeps_what_was_committed(
    own_postgres: tuple[PostgresServer, Database], tmp_path: Path, calm: Database
) -> None:
    """The open batch is lost as a whole, and the same ledger object can write the next batch."""
    server, ledger = own_postgres
    folder = _folder(tmp_path)
    record_events(ledger, events()[:40], NOW)
    committed = load_facts(ledger)

    rest = [arrival(event, POLICY) for event in events()[40:]]

    def records_and_loses_its_database(connection: Connection) -> None:
        record(connection, rest, POLICY, instant(NOW))
        server.kill()

    with pytest.raises(DBAPIError):
        ledger.run_in_transaction(records_and_loses_its_database)
    server.start()
    assert load_facts(ledger) == committed
    run(ledger, folder, instant(NOW), Death(None))
    assert load_facts(ledger) == load_facts(calm)
    assert _live(ledger) == _live(calm)
