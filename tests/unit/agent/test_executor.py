"""How the agent carries out commands, in whatever order, with repetitions and crashes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from threading import Event

import pytest
from sqlalchemy import select

from services.agent import tables
from services.agent.adapters.base import CommandTask
from services.agent.command import Command
from services.agent.rate_limit import TokenBucket
from services.agent.result import InvalidResult, Pending, Result, RetryLater
from services.kafka.errors import DeliveryFailed
from tests.unit.agent.environment import (
    T0,
    AgentEnvironment,
    FakeAdapter,
    command,
    command_id,
    record,
)

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


class Killed(BaseException):
    """The end of the process, as far as a test can play it."""


def failing_once(error: BaseException, result: Result | None = None) -> FakeAdapter:
    """An adapter that fails at its first call, and then does it."""
    errors = [error]

    def play(task: CommandTask) -> Result:
        if errors:
            raise errors.pop()
        return result or Result(status="done", counts={"orders": 1})

    return FakeAdapter(play)


def always(error: Exception) -> FakeAdapter:
    """An adapter that fails at every call."""

    def play(task: CommandTask) -> Result:
        raise error

    return FakeAdapter(play)


def test_a_command_is_carried_out_and_answered() -> None:
    """The acknowledgement has the system's counts, and the message key of the command."""
    environment = AgentEnvironment(adapter=FakeAdapter())
    assert environment.execute_all(command()) == ["done"]
    [answer] = environment.answers()
    assert (answer["command_id"], answer["attempt"]) == (command_id("c1"), 1)
    assert (answer["counts"], answer["at"]) == ({"orders": 1}, T0)
    assert environment.observer.sent_[0].key == b"customer:C1"


def test_a_repeated_command_is_answered_again_and_not_done_again() -> None:
    """The second acknowledgement has the same bytes, and so the same id."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter()))
    environment.execute_all(command())
    again = replace(command(), attempt=2, issued_at=T0 + HOUR)
    assert environment.execute_all(again, again) == ["done"]
    first, second = environment.observer.sent_
    assert first.value == second.value
    assert len(adapter.done) == 1


def test_a_crash_before_the_answer_repeats_the_command() -> None:
    """The second run has the checkpoint of the first."""

    def play(task: CommandTask) -> Result:
        if task.run == 1:
            task.save_checkpoint({"orders": 3})
            raise Killed
        return Result(status="done", counts=task.checkpoint or {})

    environment = AgentEnvironment(adapter=FakeAdapter(play))
    environment.arrive(command())
    with pytest.raises(Killed):
        environment.executor.run_once()
    environment.start()
    assert environment.execute() == ["done"]
    assert environment.answers()[0]["counts"] == {"orders": 3}


def test_a_crash_between_answering_and_sending_sends_the_same_answer() -> None:
    """The stored answer is sent; nothing is done twice."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter()))
    environment.arrive(command())
    environment.executor.run_once()
    environment.start()
    assert environment.execute() == ["done"]
    assert len(adapter.done) == 1


def test_an_answer_that_kafka_did_not_accept_is_sent_later() -> None:
    """Nothing is lost while Kafka refuses the acknowledgement."""
    environment = AgentEnvironment(adapter=FakeAdapter())
    environment.observer.broken.append(DeliveryFailed("retention.acks.crm.v1", "no leader"))
    assert environment.execute_all(command()) == []
    assert environment.execute() == ["done"]


def test_answers_that_cannot_be_sent_are_tried_again_with_a_pause() -> None:
    """They are not tried ten times a second."""
    environment = AgentEnvironment(adapter=FakeAdapter())
    environment.arrive(command())
    environment.observer.broken += [DeliveryFailed("retention.acks.crm.v1", "no leader")] * 100
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(environment.executor.run, stop)
        stop.wait(1.8)
        stop.set()
        running.result(20)
    assert 1 <= len([note for note in environment.observer.reports if note[0] == "unsent"]) <= 5


def test_the_subject_of_a_command_is_deleted_once_it_is_answered() -> None:
    """The rest names no person, and is enough to answer again."""
    environment = AgentEnvironment(adapter=FakeAdapter())
    environment.execute_all(command())
    with environment.ledger.transaction() as connection:
        [row] = connection.execute(select(tables.entry)).all()
    assert row.sealed is None
    assert row.answer is not None


def test_a_waiting_command_is_stored_encrypted() -> None:
    """The inbox is a database with backups and readers."""
    environment = AgentEnvironment(adapter=FakeAdapter())
    environment.arrive(command(records=(record("O-canary"),), subject="customer:C-canary"))
    with environment.ledger.transaction() as connection:
        for table in tables.metadata.sorted_tables:
            for row in connection.execute(select(table)):
                assert "canary" not in repr(row)


def test_an_unreachable_system_is_tried_again_with_growing_pauses() -> None:
    """One second, then two; other subjects do not wait."""
    down = RetryLater("connection refused")

    def play(task: CommandTask) -> Result:
        if task.command.subject == "customer:C1" and task.run < 3:
            raise down
        return Result(status="done")

    environment = AgentEnvironment(adapter=FakeAdapter(play))
    environment.arrive(command(), command("c2", subject="customer:C2"))
    assert environment.execute() == ["done"]
    assert environment.execute(0.9) == []
    assert environment.execute(0.1) == []
    assert environment.execute(1.9) == []
    assert environment.execute(0.1) == ["done"]


def test_a_system_that_states_when_to_try_again_is_not_asked_before() -> None:
    """Longer than the agent's own longest pause, but not beyond the validity of the command."""
    adapter = failing_once(RetryLater("busy", 3600))
    environment = AgentEnvironment(adapter=adapter)
    assert environment.execute_all(command()) == []
    assert environment.execute(3599) == []
    assert len(adapter.tasks) == 1
    assert environment.execute(1) == ["done"]
    environment = AgentEnvironment(adapter=failing_once(RetryLater("busy", 1e300)))
    environment.execute_all(command())
    assert environment.execute(7 * 86_400) == ["failed"]
    assert environment.answers()[0]["detail"] == "it expired before it could be carried out"


def test_a_permanent_error_is_answered_failed_and_tried_again_at_the_next_attempt() -> None:
    """The controller repeats the command: nothing is given up silently."""
    adapter = FakeAdapter()
    environment = AgentEnvironment(adapter=adapter, tries=1)
    adapter.play = always(RetryLater("connection refused")).play
    assert environment.execute_all(command()) == ["failed"]
    assert environment.answers()[0]["detail"] == "connection refused"
    assert environment.execute_all(command()) == ["failed"]
    assert len(adapter.done) == 1
    adapter.play = FakeAdapter().play
    assert environment.execute_all(replace(command(), attempt=2, issued_at=T0 + SECOND)) == ["done"]
    assert len({answer["acknowledgement_id"] for answer in environment.answers()}) == 2


def test_an_invalid_result_is_answered_failed_at_once() -> None:
    """Another call would have the same result."""
    environment = AgentEnvironment(adapter=always(InvalidResult("it is no JSON")))
    assert environment.execute_all(command()) == ["failed"]


def test_a_fault_of_an_adapter_stops_no_other_command() -> None:
    """It is retried like any error, and reported by its class only: its text may name a person."""
    environment = AgentEnvironment(adapter=always(ValueError("customer C1")), tries=1)
    assert environment.execute_all(command(), command("c2", subject="customer:C2")) == [
        "failed",
        "failed",
    ]
    assert environment.answers()[0]["detail"] == "the adapter failed (ValueError)"


def test_a_partial_result_is_reported_and_tried_again() -> None:
    """It is not final."""
    environment = AgentEnvironment(
        adapter=FakeAdapter(lambda task: Result(status="partial", counts={"orders": 1}))
    )
    assert environment.execute_all(command()) == ["partial"]
    assert environment.execute_all(replace(command(), attempt=2, issued_at=T0 + SECOND)) == [
        "partial"
    ]


def test_an_expired_command_is_not_carried_out() -> None:
    """This is checked on arrival, and when its time comes later."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter()))
    late = command(valid_until=T0)
    assert environment.execute_all(late) == ["failed"]
    assert environment.answers()[0]["detail"] == "it had expired when it arrived"
    environment.arrive(command("c2", valid_until=T0 + SECOND))
    assert environment.execute(1) == ["failed"]
    assert adapter.done == []


def test_nothing_is_carried_out_before_its_time() -> None:
    """A command that waits for its time delays no other command."""
    environment = AgentEnvironment(adapter=FakeAdapter())
    early = command(not_before=T0 + HOUR)
    assert environment.execute_all(early, command("c2", seq=2)) == ["done"]
    assert environment.answers()[0]["command_id"] == command_id("c2")
    assert environment.execute(3599) == []
    assert environment.execute(1) == ["done"]


def test_commands_of_one_subject_are_carried_out_in_their_order() -> None:
    """They wait also when the first has to be tried again."""
    adapter = failing_once(RetryLater("connection refused"))
    environment = AgentEnvironment(adapter=adapter)
    assert environment.execute_all(command("c1"), command("c2", seq=2)) == []
    assert environment.execute(1) == ["done", "done"]
    assert adapter.done == [command_id(name) for name in ("c1", "c1", "c2")]


def test_an_older_command_after_a_newer_one_is_not_carried_out() -> None:
    """A lifted restriction must not return; what is still required is commanded again."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter()))
    lift = command("lift", action="lift", seq=7, issued_at=T0 + HOUR)
    restrict = command("restrict", action="restrict", seq=5)
    assert environment.execute_all(lift, restrict) == ["done", "failed"]
    assert adapter.done == [command_id("lift")]
    repeated = replace(restrict, attempt=2, issued_at=T0 + 2 * HOUR)
    assert environment.execute_all(repeated) == ["done"]


def test_a_later_command_that_was_issued_earlier_is_carried_out() -> None:
    """The one before it was repeated meanwhile: sequence numbers give the order, not the last attempts."""
    environment = AgentEnvironment(adapter=FakeAdapter())
    repeated = command("c7", seq=7, attempt=2, issued_at=T0 + HOUR)
    assert environment.execute_all(repeated, command("c8", seq=8)) == ["done", "done"]


def test_waiting_commands_are_carried_out_in_order_too() -> None:
    """The later one waits even if it could run first."""
    adapter = FakeAdapter()
    environment = AgentEnvironment(adapter=adapter)
    environment.arrive(
        command("c1", not_before=T0 + 2 * HOUR), command("c2", seq=2, not_before=T0 + HOUR)
    )
    environment.execute(3 * 3600)
    assert adapter.done == [command_id("c1"), command_id("c2")]


def test_an_unreachable_slow_processor_delays_no_other_command() -> None:
    """It has the command already."""

    def play(task: CommandTask) -> Result | Pending:
        if task.command.command_id == command_id("c2"):
            return Result(status="done")
        if task.run == 1:
            return Pending(ask_again_at=T0 + HOUR)
        raise RetryLater("away")

    environment = AgentEnvironment(adapter=FakeAdapter(play))
    environment.execute_all(command())
    environment.execute(3600)
    assert environment.execute_all(command("c2", seq=2)) == ["done"]


def test_an_outdated_answer_is_not_sent() -> None:
    """The command was repeated before Kafka accepted it, and has a new answer."""
    adapter = failing_once(InvalidResult("it is no JSON"))
    environment = AgentEnvironment(adapter=adapter)
    environment.arrive(command())
    environment.executor.run_once()
    [stale] = environment.inbox.outgoing(10)
    environment.arrive(replace(command(), attempt=2, issued_at=T0 + SECOND))
    assert environment.inbox.outgoing(10) == []
    environment.executor.run_once()
    environment.inbox.mark_delivered([stale])
    assert environment.execute() == ["done"]


def test_a_command_that_is_repeated_while_it_is_carried_out_is_answered_once() -> None:
    """The answer is for its latest attempt."""
    environment = AgentEnvironment(adapter=FakeAdapter())

    def play(task: CommandTask) -> Result:
        environment.arrive(replace(command(), attempt=2, issued_at=T0 + SECOND))
        return Result(status="done")

    environment.executor.adapter = FakeAdapter(play)
    assert environment.execute_all(command()) == ["done"]
    assert environment.answers()[0]["attempt"] == 2


def test_an_older_disclosure_is_carried_out() -> None:
    """It changes nothing, and a verification has its own time."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter()))
    newer = command("c7", seq=7, issued_at=T0 + HOUR)
    assert environment.execute_all(newer, command("v5", action="verify", seq=5)) == ["done", "done"]
    assert len(adapter.done) == 2


def test_a_later_epoch_replaces_commands_that_were_not_begun() -> None:
    """It replaces only commands on the same records."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter()))
    old = command("old", epoch=1, seq=1, not_before=T0 + HOUR)
    other = command("other", epoch=1, seq=2, not_before=T0 + HOUR, records=(record("O2"),))
    new = command("new", epoch=2, seq=3)
    assert sorted(environment.execute_all(old, other, new)) == ["done", "failed"]
    assert environment.execute(3600) == ["done"]
    assert adapter.done == [command_id("new"), command_id("other")]


def test_a_superseded_command_is_not_carried_out() -> None:
    """The one that it names is not carried out any more."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter()))
    environment.arrive(command("old", not_before=T0 + HOUR))
    assert sorted(environment.execute_all(command("new", seq=2, supersedes="old"))) == [
        "done",
        "failed",
    ]
    environment.execute(7200)
    assert adapter.done == [command_id("new")]


def recall() -> Command:
    """Return the command that recalls the first one."""
    return command("r1", action="recall", supersedes="c1", seq=2)


def test_a_recall_stops_a_command_that_was_not_begun() -> None:
    """It is answered at once, and the command is never carried out."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter()))
    environment.arrive(command(not_before=T0 + HOUR))
    assert environment.execute_all(recall()) == ["recalled"]
    assert environment.execute(7200) == []
    assert adapter.done == []


def test_a_recall_that_comes_before_its_command_stops_it_too() -> None:
    """The command is then answered `recalled`, each time that it comes."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter()))
    assert environment.execute_all(recall()) == ["recalled"]
    assert environment.execute_all(command()) == ["recalled"]
    assert environment.execute_all(replace(command(), attempt=2, issued_at=T0 + HOUR)) == [
        "recalled"
    ]
    assert adapter.done == []


def test_a_recall_of_a_completed_command_comes_too_late() -> None:
    """It is answered `already_done`."""
    environment = AgentEnvironment(adapter=FakeAdapter())
    assert environment.execute_all(command(), recall()) == ["recalled"]
    environment = AgentEnvironment(adapter=FakeAdapter())
    environment.execute_all(command())
    assert environment.execute_all(recall()) == ["already_done"]


def test_a_recall_of_a_partly_completed_command_ends_it() -> None:
    """The rest stays. It is not answered `recalled`, since some data is erased."""
    environment = AgentEnvironment(
        adapter=(adapter := FakeAdapter(lambda task: Result(status="partial")))
    )
    environment.execute_all(command())
    assert environment.execute_all(recall()) == ["refused"]
    assert environment.answers()[-1]["ground"] == "it had been carried out in part"
    for attempt in (2, 3):
        again = replace(command(), attempt=attempt, issued_at=T0 + HOUR)
        assert environment.execute_all(again) == ["partial"]
        assert environment.execute_all(replace(recall(), attempt=attempt, issued_at=T0 + HOUR)) == [
            "refused"
        ]
    assert len(adapter.done) == 1


@pytest.mark.parametrize(
    ("status", "later"), [("recalled", "recalled"), ("already_done", "already_done")]
)
def test_a_recall_of_a_command_that_was_given_up_asks_the_system(status: str, later: str) -> None:
    """A call without an answer may have erased all the same: only the system knows."""

    def play(task: CommandTask) -> Result:
        if task.command.action == "recall":
            return Result(status=status)  # type: ignore[arg-type]  # one of the two above
        raise InvalidResult("nothing that can be read")

    environment = AgentEnvironment(adapter=(adapter := FakeAdapter(play)))
    assert environment.execute_all(command()) == ["failed"]
    assert environment.execute_all(recall()) == [status]
    for attempt in (2, 3):
        again = replace(command(), attempt=attempt, issued_at=T0 + HOUR)
        assert environment.execute_all(again) == [later]
    assert len(adapter.done) == 2


@pytest.mark.parametrize(
    ("status", "answers"), [("recalled", ["recalled"]), ("already_done", ["already_done", "done"])]
)
def test_a_recall_of_a_command_that_was_begun_asks_the_system(
    status: str, answers: list[str]
) -> None:
    """Only the system knows how far it came; the answer also ends the command."""

    def play(task: CommandTask) -> Result:
        if task.command.action == "recall":
            assert task.recalls == "erase"
            return Result(status=status)  # type: ignore[arg-type]  # one of the two above
        raise RetryLater("no response in time")

    environment = AgentEnvironment(adapter=(adapter := FakeAdapter(play)))
    environment.execute_all(command())
    assert sorted(environment.execute_all(recall())) == answers
    assert environment.execute(3600) == []
    assert len(adapter.done) == 2


def test_a_recall_goes_before_the_next_try_of_its_command() -> None:
    """Both may run by then; the command was tried once, and waits longer."""

    def play(task: CommandTask) -> Result:
        if task.command.action == "recall":
            return Result(status="recalled")
        if task.run == 1:
            raise RetryLater("deadlock")
        return Result(status="done", counts={"orders": 1})

    environment = AgentEnvironment(adapter=(adapter := FakeAdapter(play)))
    environment.execute_all(command())
    environment.now += HOUR
    environment.arrive(replace(recall(), issued_at=T0 + HOUR))
    assert environment.execute(1) == ["recalled"]
    assert adapter.done == [command_id("c1"), command_id("r1")]


def answering_late() -> Callable[[CommandTask], Result]:
    """Return a system that answers nothing but the second try of a command."""

    def play(task: CommandTask) -> Result:
        if task.command.action == "recall" or task.run == 1:
            raise RetryLater("no response in time")
        return Result(status="done", counts={"orders": 1})

    return play


def test_a_command_waits_while_the_system_cannot_be_asked_about_its_recall() -> None:
    """The recall is given up until the controller repeats it; the command is not tried meanwhile."""
    answering: list[Result] = []

    def play(task: CommandTask) -> Result:
        if task.command.action == "recall" and answering:
            return answering[0]
        if task.command.action == "recall" or task.run == 1:
            raise RetryLater("no response in time")
        return Result(status="done", counts={"orders": 1})

    environment = AgentEnvironment(adapter=(adapter := FakeAdapter(play)))
    environment.execute_all(command())
    environment.now += HOUR
    environment.arrive(replace(recall(), issued_at=T0 + HOUR))
    assert [environment.execute(seconds) for seconds in (1, 10, 10)] == [[], [], ["failed"]]
    assert environment.execute(3600) == []
    answering.append(Result(status="recalled"))
    again = replace(recall(), attempt=2, issued_at=T0 + 3 * HOUR)
    assert environment.execute_all(again) == ["recalled"]
    assert environment.execute(3600) == []
    assert adapter.done.count(command_id("c1")) == 1


def test_a_restriction_does_not_wait_for_the_recall_of_an_erasure() -> None:
    """The recall is given up until the controller repeats it, which may take days; a lift waits for it."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter(answering_late())))
    environment.execute_all(command())
    environment.now += HOUR
    environment.arrive(replace(recall(), issued_at=T0 + HOUR))
    assert [environment.execute(seconds) for seconds in (1, 10, 10)] == [[], [], ["failed"]]
    restrict = command("restrict", action="restrict", seq=3, issued_at=T0 + HOUR)
    lift = command("lift", action="lift", seq=4, issued_at=T0 + HOUR)
    adapter.play = lambda task: Result(status="done", counts={"orders": 1})
    assert environment.execute_all(lift) == []
    assert environment.execute_all(restrict) == ["done"]
    assert environment.execute(3600) == []
    assert adapter.done.count(command_id("c1")) == 1


def test_a_command_outlives_a_recall_that_has_expired() -> None:
    """The controller no longer wants the recall carried out."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter(answering_late())))
    environment.execute_all(command())
    environment.now += HOUR
    late = replace(recall(), issued_at=T0 + HOUR, valid_until=T0 + 2 * HOUR)
    environment.arrive(late)
    assert [environment.execute(seconds) for seconds in (1, 10, 10)] == [[], [], ["failed"]]
    assert environment.execute(2 * 3600) == ["done"]
    assert adapter.done.count(command_id("c1")) == 2


def test_a_processor_that_takes_days_outlives_the_process() -> None:
    """Its answer counts once; until then it is not asked again before its time."""
    day = timedelta(days=1)
    environment = AgentEnvironment(
        adapter=(adapter := FakeAdapter(lambda task: Pending(ask_again_at=task.now + day)))
    )
    assert environment.execute_all(command()) == []
    environment.start()
    assert environment.execute_all(replace(command(), attempt=2, issued_at=T0 + HOUR)) == []
    assert environment.executor.complete(
        command_id("c1"), Result(status="done", counts={"rows": 2})
    )
    assert not environment.executor.complete(command_id("c1"), Result(status="failed"))
    assert environment.execute() == ["done"]
    assert environment.answers()[0]["attempt"] == 2
    assert len(adapter.done) == 1


def test_a_processor_that_stays_silent_is_asked_again() -> None:
    """It is asked as long as an attempt is valid; each states its number."""
    day = timedelta(days=1)
    environment = AgentEnvironment(
        adapter=(adapter := FakeAdapter(lambda task: Pending(ask_again_at=task.now + day)))
    )
    environment.execute_all(command())
    environment.execute(24 * 3600)
    assert [task.run for task in adapter.tasks] == [1, 2]
    environment.execute(7 * 24 * 3600)
    assert len(adapter.tasks) == 2


def test_a_command_at_a_slow_processor_delays_no_other() -> None:
    """It may take days."""
    plays: dict[str, Result | Pending] = {
        command_id("c1"): Pending(ask_again_at=T0 + HOUR),
        command_id("c2"): Result(status="done"),
    }
    environment = AgentEnvironment(adapter=FakeAdapter(lambda task: plays[task.command.command_id]))
    assert environment.execute_all(command("c1"), command("c2", seq=2)) == ["done"]


def test_the_rate_limit_of_a_system_is_kept() -> None:
    """Two at once, then one a second."""
    bucket = TokenBucket(per_second=1, burst=2)
    environment = AgentEnvironment(adapter=FakeAdapter(), bucket=bucket)
    subjects = [f"customer:C{n}" for n in range(5)]
    environment.arrive(*(command(subject, subject=subject) for subject in subjects))
    assert [len(environment.execute(seconds)) for seconds in (0, 0.5, 0.5, 1, 1)] == [2, 0, 1, 1, 1]


def test_answered_commands_are_deleted_once_they_cannot_be_replayed() -> None:
    """Before that, a replay finds that it was done; after it, that it has expired."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter()))
    environment.execute_all(command())
    keep = timedelta(days=30)
    assert environment.inbox.purge(T0 + timedelta(days=37), keep) == 0
    assert environment.inbox.purge(T0 + timedelta(days=37) + SECOND, keep) == 1
    environment.now = T0 + timedelta(days=38)
    assert environment.execute_all(command()) == ["failed"]
    assert len(adapter.done) == 1


def test_a_restored_system_gets_every_command_since_its_backup_again() -> None:
    """The controller repeats them; earlier and cancelled ones stay as they are."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter()))
    environment.execute_all(command("before"))
    environment.now += HOUR
    environment.execute_all(
        command("after", seq=2), command("not", seq=3, not_before=T0 + 9 * HOUR)
    )
    environment.execute_all(command("r", seq=4, action="recall", supersedes="not"))
    with environment.ledger.transaction() as connection:
        assert environment.inbox.reopen_since(connection, T0 + HOUR) == 1
    later = {"attempt": 2, "issued_at": T0 + 2 * HOUR}
    repeated = [command("before", **later), command("after", seq=2, **later)]
    assert environment.execute_all(*repeated, command("not", seq=3, **later)) == [
        "done",
        "done",
        "recalled",
    ]
    assert adapter.done == [command_id(name) for name in ("before", "after", "after")]


def test_the_agent_counts_open_commands() -> None:
    """The counts are exported as metrics."""
    environment = AgentEnvironment(
        adapter=FakeAdapter(lambda task: Pending(ask_again_at=T0 + HOUR))
    )
    environment.arrive(command("c1"), command("c2", not_before=T0 + HOUR, seq=2))
    assert environment.inbox.count_by_state() == {"waiting": 2}
    environment.execute()
    assert environment.inbox.count_by_state() == {"waiting": 1, "pending": 1}
    assert environment.inbox.oldest_open() == T0


def test_a_killed_agent_does_each_command_once_more_at_most() -> None:
    """Many commands with a kill at each are all answered `done`."""
    kills = {command_id(f"c{n}") for n in range(20)}

    def play(task: CommandTask) -> Result:
        if task.command.command_id in kills:
            kills.discard(task.command.command_id)
            raise Killed
        return Result(status="done")

    environment = AgentEnvironment(adapter=(adapter := FakeAdapter(play)))
    environment.arrive(*(command(f"c{n}", subject=f"customer:C{n}") for n in range(20)))
    while kills:
        with suppress(Killed):
            environment.executor.run_once()
        environment.start()
    environment.execute()
    assert sorted({answer["command_id"] for answer in environment.answers()}) == sorted(
        set(adapter.done)
    )
    assert len(environment.answers()) == 20


def test_a_refused_command_is_tried_again_at_the_next_attempt() -> None:
    """The system may have been repaired; the controller decides whether a refusal is final."""
    adapter = FakeAdapter(lambda _: Result(status="refused", ground="a duty of its own"))
    environment = AgentEnvironment(adapter=adapter)
    assert environment.execute_all(command()) == ["refused"]
    assert environment.execute_all(command()) == ["refused"]
    adapter.play = FakeAdapter().play
    assert environment.execute_all(replace(command(), attempt=2, issued_at=T0 + HOUR)) == ["done"]


def test_a_refused_and_recalled_command_is_not_carried_out_later() -> None:
    """The recall is valid in whatever order the two are on Kafka."""
    adapter = FakeAdapter(lambda _: Result(status="refused", ground="a duty of its own"))
    environment = AgentEnvironment(adapter=adapter)
    assert environment.execute_all(command()) == ["refused"]
    assert environment.execute_all(recall()) == ["recalled"]
    adapter.play = FakeAdapter().play
    assert environment.execute_all(replace(command(), attempt=2, issued_at=T0 + HOUR)) == [
        "recalled"
    ]
    assert len(adapter.done) == 1


def test_different_answers_have_different_ids() -> None:
    """An inbox restored from a backup carries out again what it had answered, in the same attempt."""
    ids = set()
    for rows in (1, 2):
        result = Result(status="done", counts={"orders": rows})
        environment = AgentEnvironment(adapter=FakeAdapter(lambda _, it=result: it))  # type: ignore[misc]
        environment.execute_all(command())
        environment.execute_all(command())
        ids |= {answer["acknowledgement_id"] for answer in environment.answers()}
        assert len(environment.answers()) == 2
    assert len(ids) == 2
