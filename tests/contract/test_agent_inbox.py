"""The agent's inbox on each database carries out each command once, in whatever order they arrive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.agent import tables
from services.agent.adapters.base import CommandTask
from services.agent.inbox import Inbox
from services.agent.inbox_cipher import InboxOwnerMismatch
from services.agent.result import Pending, Result, RetryLater
from services.crypto.envelope import AeadCipher
from services.storage.database import Database, open_database
from services.storage.single_instance import AlreadyRunning, inbox_lock
from tests.effort import examples
from tests.unit.agent.environment import (
    SEAL,
    T0,
    AgentEnvironment,
    FakeAdapter,
    command,
    command_id,
)

HOUR = timedelta(hours=1)


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path_factory.mktemp('inbox')}/inbox.sqlite"
    if request.param == "postgres":
        fresh: Callable[[], str] = request.getfixturevalue("postgres")
        url = fresh()
    with closing(open_database(url)) as ledger:
        yield ledger


@pytest.fixture
def database(shared: Database) -> Database:
    """An empty database of each kind."""
    with shared.transaction() as connection:
        for table in (*tables.CONSUMER_TABLES, *tables.metadata.sorted_tables):
            table.drop(connection, checkfirst=True)
    return shared


def test_each_state_of_a_command_is_reached_on_each_database(database: Database) -> None:
    """A command is done, waiting, pending, recalled, failed or purged."""
    plays: dict[str, Result | Pending] = {
        command_id("done"): Result(status="done", counts={"orders": 1}),
        command_id("pending"): Pending(ask_again_at=T0 + HOUR),
        command_id("failed"): Result(status="failed", detail="no room"),
    }
    environment = AgentEnvironment(
        adapter=FakeAdapter(lambda task: plays[task.command.command_id]), ledger=database
    )
    environment.arrive(
        command("done"),
        command("pending", subject="customer:C2"),
        command("failed", subject="customer:C3"),
        command("waiting", subject="customer:C4", not_before=T0 + HOUR),
        command("taken back", subject="customer:C5", not_before=T0 + HOUR),
        command("r", subject="customer:C5", seq=2, action="recall", supersedes="taken back"),
    )
    assert sorted(environment.execute()) == ["done", "failed", "recalled"]
    assert environment.inbox.count_by_state() == {
        "settled": 3,
        "pending": 1,
        "failed": 1,
        "waiting": 1,
    }
    assert environment.inbox.oldest_open() == T0
    assert (environment.inbox.parked(), list(environment.inbox.gaps())) == ({}, [])
    assert environment.executor.complete(command_id("pending"), Result(status="done"))
    assert environment.execute() == ["done"]
    assert environment.inbox.purge(T0 + timedelta(days=8), timedelta(days=0)) == 5


def test_only_one_agent_works_on_an_inbox(database: Database) -> None:
    """The second agent is refused until the first has ended."""
    with inbox_lock(database) as check:
        check()
        with pytest.raises(AlreadyRunning), inbox_lock(database):
            pass
    with inbox_lock(database):
        pass


def test_an_inbox_opens_for_its_own_system_and_key_only(database: Database) -> None:
    """An operator who mixes two up learns it before any command is carried out."""
    environment = AgentEnvironment(adapter=FakeAdapter(), ledger=database)
    with pytest.raises(InboxOwnerMismatch, match="encrypted with the key"):
        Inbox(database, AeadCipher(b"1" * 32), environment.inbox.answers).create_tables()
    with pytest.raises(InboxOwnerMismatch, match="it belongs to crm"):
        Inbox(database, SEAL, replace(environment.inbox.answers, system="psp")).create_tables()


class Killed(BaseException):
    """Raised where the process would be killed."""


STEPS = st.lists(
    st.tuples(st.just("arrive"), st.integers(0, 5), st.integers(1, 3))
    | st.tuples(st.just("obey"), st.sampled_from([0, 1, 60]), st.just(0))
    | st.tuples(st.just("kill"), st.sampled_from(["before", "after"]), st.just(0))
    | st.tuples(st.just("away"), st.just(0), st.just(0)),
    max_size=25,
)


@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_each_command_is_done_once_whatever_happens(
    shared: Database, steps: list[tuple[str, int | str, int]]
) -> None:
    """Repeated, out of order, or killed before or after the work, each is done and acknowledged."""
    with shared.transaction() as connection:
        for table in (*tables.CONSUMER_TABLES, *tables.metadata.sorted_tables):
            table.drop(connection, checkfirst=True)
    unerased = {command_id(f"c{n}") for n in range(6)}
    runs: defaultdict[str, int] = defaultdict(int)
    next_: list[str] = []

    def play(task: CommandTask) -> Result:
        fate = next_.pop() if next_ else ""
        if fate == "before":
            raise Killed
        if fate == "away":
            raise RetryLater("away")
        id = task.command.command_id
        duplicates = len(unerased & {id})
        if duplicates:
            task.save_checkpoint({"rows": duplicates})
            unerased.discard(id)
            runs[id] += 1
        if fate == "after":
            raise Killed
        counts = {"rows": duplicates or (task.checkpoint or {}).get("rows", 0)}
        return Result(status="done" if counts["rows"] else "nothing_held", counts=counts)

    environment = AgentEnvironment(adapter=FakeAdapter(play), ledger=shared, tries=2)
    commands = [command(f"c{n}", subject=f"customer:C{n % 2}", seq=n + 1) for n in range(6)]

    def attempt(number: int, attempt: int) -> None:
        at = T0 + HOUR * (attempt - 1)
        environment.arrive(replace(commands[number], attempt=attempt, issued_at=at))

    for step, what, which in steps:
        if step == "arrive":
            attempt(int(what), which)
            continue
        if step != "obey":
            next_.append(str(what) if step == "kill" else "away")
        with suppress(Killed):
            environment.execute(float(what) if step == "obey" else 60)
            continue
        environment.start()
    next_.clear()
    for last in range(4, 7):  # the controller repeats what is not answered for good
        environment.execute(60)
        final = {a["command_id"] for a in environment.answers() if a["status"] != "failed"}
        for number, inbox_command in enumerate(commands):
            if inbox_command.command_id not in final:
                attempt(number, last)
    environment.execute(60)
    answers = {
        (a["command_id"], a["status"], a["counts"].get("rows")) for a in environment.answers()
    }
    finals = sorted(answer for answer in answers if answer[1] != "failed")
    assert finals == sorted((command.command_id, "done", 1) for command in commands)
    assert set(runs.values()) == {1}


def test_a_process_that_holds_an_inbox_keeps_another_process_away(tmp_path: Path) -> None:
    """There are two connections to the same file, as two processes have."""
    url = f"sqlite:///{tmp_path}/inbox.sqlite"
    with (
        closing(open_database(url)) as ledger,
        closing(open_database(url)) as other,
        inbox_lock(ledger),
        pytest.raises(AlreadyRunning),
        inbox_lock(other),
    ):
        pass
