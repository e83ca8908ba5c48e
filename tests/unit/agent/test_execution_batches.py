"""Commands that run together: which, and what of them is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from time import monotonic

from schemas.errors import RegistryUnavailable
from services.agent.adapters.base import CommandTask, SaveCheckpoints
from services.agent.execution_batches import group_into_batches
from services.agent.inbox_entry import InboxEntry
from services.agent.result import Pending, Result, RetryLater
from services.storage.database import open_database
from tests.unit.agent.environment import T0, AgentEnvironment, command, command_id

DONE = Result(status="done", counts={"orders": 1})


@dataclass(slots=True)
class FakeBatchAdapter:
    """Carries out erasures together, as a test sets it; keeps the batches that it got."""

    play: Callable[[Sequence[CommandTask]], Sequence[Result | RetryLater]] = lambda tasks: [
        DONE for _ in tasks
    ]
    batches: list[list[str]] = field(default_factory=list)
    checkpoints: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def is_batched(self, action: str) -> bool:
        return action == "erase"

    def execute(self, task: CommandTask) -> Result | Pending:
        self.batches.append([task.command.command_id])
        [result] = self.play([task])
        if isinstance(result, RetryLater):
            raise result
        return result

    def execute_together(
        self, tasks: Sequence[CommandTask], save_checkpoints: SaveCheckpoints
    ) -> Sequence[Result | RetryLater]:
        self.batches.append([task.command.command_id for task in tasks])
        if self.checkpoints:
            save_checkpoints(self.checkpoints)
        return self.play(tasks)


def environment_of(adapter: FakeBatchAdapter) -> AgentEnvironment:
    """Return an agent that carries out up to ten commands at once."""
    environment = AgentEnvironment(adapter=adapter)
    environment.executor.batch_size = 10
    return environment


def of_persons(*names: str, **further: object) -> list[object]:
    return [command(name, subject=f"customer:{name}", **further) for name in names]


def entries(*actions: str) -> list[InboxEntry]:
    """Return entries of different persons."""
    return [
        InboxEntry(
            command_id=str(number),
            grp=str(number),
            action=action,
            supersedes=None,
            seq=number,
            epoch=0,
            attempt=1,
            issued_at=T0,
            valid_until=T0,
            state="waiting",
            due_at=T0,
        )
        for number, action in enumerate(actions)
    ]


def group(*actions: str, most: int = 4, size: int = 3, starts: int = 100) -> list[list[str]]:
    """Return the ids in each batch; so many commands may start."""
    left = iter(range(starts))
    batches = group_into_batches(
        entries(*actions),
        most=most,
        size=size,
        is_batched=lambda action: action in ("erase", "verify"),
        may_start=lambda: next(left, None) is not None,
    )
    return [[entry.command_id for entry in batch] for batch in batches]


def test_commands_with_one_action_share_a_batch() -> None:
    """Actions that are not batched are alone."""
    assert group("erase", "rectify", "erase", "verify", "rectify") == [
        ["0", "2"],
        ["1"],
        ["3"],
        ["4"],
    ]


def test_a_full_batch_is_followed_by_another() -> None:
    """Three have room in each."""
    assert group(*["erase"] * 7) == [["0", "1", "2"], ["3", "4", "5"], ["6"]]


def test_none_starts_before_one_that_waits_longer() -> None:
    """The third has no place, so that the fourth waits too."""
    assert group("rectify", "erase", "rectify", "erase", most=2) == [["0"], ["1"]]
    assert group("erase", "erase", "erase", starts=2) == [["0", "1"]]


def test_commands_of_several_persons_are_carried_out_together() -> None:
    """Each is acknowledged, in one run of the adapter."""
    adapter = FakeBatchAdapter()
    environment = environment_of(adapter)
    assert environment.execute_all(*of_persons("c1", "c2", "c3")) == ["done"] * 3  # type: ignore[arg-type]
    assert [sorted(batch) for batch in adapter.batches] == [
        sorted(map(command_id, ("c1", "c2", "c3")))
    ]


def test_two_commands_of_one_person_are_never_together() -> None:
    """They keep their order."""
    adapter = FakeBatchAdapter()
    environment = environment_of(adapter)
    environment.execute_all(command("c1"), command("c2", seq=2))
    assert adapter.batches == [[command_id("c1")], [command_id("c2")]]


def test_one_that_has_to_wait_holds_up_no_other() -> None:
    """It is tried again alone, or with others, after a pause."""

    def play(tasks: Sequence[CommandTask]) -> Sequence[Result | RetryLater]:
        return [
            RetryLater("busy") if task.command.command_id == command_id("c2") else DONE
            for task in tasks
        ]

    adapter = FakeBatchAdapter(play)
    environment = environment_of(adapter)
    environment.arrive(*of_persons("c1", "c2"))  # type: ignore[arg-type]
    assert environment.execute() == ["done"]
    adapter.play = lambda tasks: [DONE for _ in tasks]
    assert environment.execute(seconds=2) == ["done"]
    assert adapter.batches[1] == [command_id("c2")]


def test_an_entry_that_was_tried_before_shares_its_batch_with_fewer() -> None:
    """Of 64 at first, eight and one; those that were not tried fill their own batch."""
    tried = [
        replace(entry, tries=tries)
        for entry, tries in zip(entries(*["erase"] * 13), [0, *[1] * 9, 2, 2, 0], strict=True)
    ]
    batches = group_into_batches(
        tried, most=9, size=64, is_batched=lambda _: True, may_start=lambda: True
    )
    assert [[entry.command_id for entry in batch] for batch in batches] == [
        ["0", "12"],
        ["1", "2", "3", "4", "5", "6", "7", "8"],
        ["9"],
        ["10"],
        ["11"],
    ]


def test_one_that_makes_every_batch_fail_is_soon_alone() -> None:
    """The row of one person is locked: the other nine are carried out at the next try."""

    def play(tasks: Sequence[CommandTask]) -> Sequence[Result | RetryLater]:
        locked = command_id("c1") in [task.command.command_id for task in tasks]
        return [RetryLater("locked") if locked else DONE for _ in tasks]

    adapter = FakeBatchAdapter(play)
    environment = environment_of(adapter)
    environment.arrive(*of_persons(*(f"c{number}" for number in range(10))))  # type: ignore[arg-type]
    assert environment.execute() == []
    assert environment.execute(seconds=2) == ["done"] * 9


def test_a_failure_to_store_the_outcomes_of_a_batch_is_met_once(tmp_path: Path) -> None:
    """It is one pause, not one for each of its ten commands; then they are carried out again."""
    failures = [RegistryUnavailable(request="ids/1", why="no route")]

    def play(tasks: Sequence[CommandTask]) -> Sequence[Result | RetryLater]:
        if failures:
            raise failures.pop()
        return [DONE for _ in tasks]

    ledger = open_database(f"sqlite:///{tmp_path}/inbox.sqlite")
    environment = AgentEnvironment(adapter=FakeBatchAdapter(play), ledger=ledger)
    environment.executor.batch_size = 10
    environment.arrive(*of_persons(*(f"c{number}" for number in range(10))))  # type: ignore[arg-type]
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(environment.executor.run, stop)
        deadline = monotonic() + 20
        while len(environment.observer.sent_) < 10 and monotonic() < deadline:
            stop.wait(0.05)
        stop.set()
        running.result(20)
    unsent = ("unsent", "inbox: cannot be read (RegistryUnavailable)")
    assert environment.observer.reports.count(unsent) == 1
    assert len(environment.observer.sent_) == 10
    ledger.close()


def test_an_adapter_that_breaks_lets_all_be_tried_again() -> None:
    """The error has no text of a person in the report."""

    def play(tasks: Sequence[CommandTask]) -> Sequence[Result | RetryLater]:
        raise ValueError("Sanne")

    environment = environment_of(FakeBatchAdapter(play))
    environment.arrive(*of_persons("c1", "c2"))  # type: ignore[arg-type]
    assert environment.execute() == []
    assert (
        environment.observer.reports == [("tried", "erase", "the adapter failed (ValueError)")] * 2
    )


def test_what_was_recalled_meanwhile_is_not_carried_out() -> None:
    """The recall came between the reading of the inbox and the start."""
    adapter = FakeBatchAdapter()
    environment = environment_of(adapter)
    environment.arrive(*of_persons("c1", "c2"))  # type: ignore[arg-type]
    due = environment.inbox.due_entries(environment.now, (), 10)
    environment.arrive(
        command("r1", subject="customer:c1", action="recall", supersedes="c1", seq=2)
    )
    environment.executor.execute_together(due)
    assert adapter.batches == [[command_id("c2")]]


def test_counts_are_kept_for_a_run_that_is_cut_short() -> None:
    """The next run gets those of its own command."""
    adapter = FakeBatchAdapter(
        lambda tasks: [RetryLater("busy") for _ in tasks],
        checkpoints={command_id("c1"): {"orders": 2}},
    )
    environment = environment_of(adapter)
    environment.arrive(*of_persons("c1", "c2"))  # type: ignore[arg-type]
    environment.execute()
    seen: dict[str, object] = {}

    def note(tasks: Sequence[CommandTask]) -> Sequence[Result | RetryLater]:
        seen.update((task.command.command_id, task.checkpoint) for task in tasks)
        return [DONE for _ in tasks]

    adapter.play = note
    environment.execute(seconds=2)
    assert seen == {command_id("c1"): {"orders": 2}, command_id("c2"): None}


def test_what_expired_is_left_out() -> None:
    """It is acknowledged as failed, and the other is carried out."""
    adapter = FakeBatchAdapter()
    environment = environment_of(adapter)
    environment.arrive(*of_persons("c1"), *of_persons("c2", valid_until=T0))  # type: ignore[arg-type]
    assert sorted(environment.execute()) == ["done", "failed"]
