"""A ledger restored from a backup learns from the command topics what was sent since.

On SQLite and on PostgreSQL. Until it has, what it forgot could be carried out under a legal hold without a
recall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from uuid import UUID

import pytest
from sqlalchemy import text

from services.deleter.activation import activate
from services.deleter.command_recovery import RecoveryResult
from services.deleter.deleter import Deleter
from services.deleter.dispatch import RetryPolicy
from services.deleter.sent_commands_check import IN_FLIGHT
from services.kafka.record_metadata import RecordMetadata
from services.kafka.topic_state import Partition
from services.ledger import tables
from services.policy.model import Policy
from services.policy.rule import Notice
from services.storage import pause
from services.storage.database import Database, open_database
from tests.contract.event_builders import Event, event, feedback
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    acting_as,
    back_up,
    find_command,
    instant,
    list_commands,
    record_events,
    restore,
    select_rows,
)
from tests.contract.null_observer import NullObserver

GIVEN, DUE, LATER, EVEN_LATER = (
    *("2020-01-10T09:00:00Z", "2023-01-10T09:00:00Z"),
    *("2023-01-10T09:30:00Z", "2023-01-10T10:00:00Z"),
)
"""Feedback is kept for a year: it is overdue when the deleter first looks at it."""
NEXT = replace(POLICY, version="next")
KEEPING = replace(NEXT, rules={**POLICY.rules, "D5": replace(POLICY.rules["D5"], term="P9Y")})
"""A policy that keeps feedback longer."""
NOTICES = replace(
    NEXT,
    rules={
        **POLICY.rules,
        "D5": replace(POLICY.rules["D5"], notices=(Notice(before="P30D", system="mail"),)),
    },
)
"""A policy under which feedback is erased only after a notice."""


def hold(at: str = LATER, visitor: str = "1") -> Event:
    fields = {"subject": f"visitor:{visitor}", "hold_id": "h", "ground": "legal_claim"}
    return event(f"h{visitor}", "privacy.hold-placed", at, **fields)


@dataclass
class Office(NullObserver):
    """A ledger that can be restored from its backup, with a deleter and its bus."""

    ledger: Database
    bus: FakeBus = field(default_factory=FakeBus)
    recovered: list[RecoveryResult] = field(default_factory=list)
    spots: Sequence[str] = ()
    fails: bool = False
    now: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.now = instant(GIVEN)
        self.start()

    def start(self, policy: Policy = POLICY) -> None:
        """Start a deleter, as after a failure."""
        self.deleter = Deleter(
            ledger=self.ledger,
            publisher=self.bus,
            catch_up_check=self,
            policy=policy,
            observer=self,
            now=lambda: self.now,
            command_topics=self.bus,
            retry_policy=RetryPolicy(base=timedelta(hours=1)),
        )

    def run(self, now: str) -> list[str]:
        """Let the deleter run twice, with its own rights; return the actions that it sent."""
        self.now, before = instant(now), len(self.bus.sent)
        with acting_as(self.ledger, "deleter"):
            self.deleter.run_once()
            self.deleter.run_once()
        return [message.value["action"] for message in self.bus.sent[before:]]

    def lagging_partitions(self) -> Sequence[str]:
        if self.fails:
            raise ConnectionError
        return ()

    def commands_recovered(self, result: RecoveryResult) -> None:
        self.recovered.append(result)

    def waiting_for_catch_up(self, spots: Sequence[str]) -> None:
        self.spots = spots


@pytest.fixture
def office(ledger: Database, monkeypatch: pytest.MonkeyPatch) -> Office:
    """Return an office that was given feedback which is overdue, and whose deleter sees its own time."""
    return new_office(ledger, monkeypatch)


@pytest.fixture
def postgres_office(postgres_ledger: Database, monkeypatch: pytest.MonkeyPatch) -> Office:
    """Return such an office whose ledger is on PostgreSQL."""
    return new_office(postgres_ledger, monkeypatch)


def new_office(ledger: Database, monkeypatch: pytest.MonkeyPatch) -> Office:
    office = Office(ledger)
    see_time_of(office, monkeypatch)
    record_events(ledger, [feedback("f1", GIVEN)], GIVEN)
    return office


def see_time_of(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("command_sender", "deleter", "transactions"):
        name = f"services.deleter.{module}.database_now"
        monkeypatch.setattr(name, lambda connection: office.now)


def command_id(office: Office, number: int) -> UUID:
    return UUID(office.bus.sent[number].value["command_id"])


def test_a_hold_after_the_restore_recalls_what_was_sent_before_it(office: Office) -> None:
    backup = back_up(office.ledger)
    assert office.run(DUE) == ["erase"]
    restore(office.ledger, backup)
    record_events(office.ledger, [hold()], LATER)
    office.start()
    assert office.run(LATER) == ["recall"]
    assert office.bus.sent[1].value["supersedes"] == office.bus.sent[0].value["command_id"]
    assert list_commands(office.ledger) == [
        ("website", "erase", "recalling"),
        ("website", "recall", "sent"),
    ]
    assert office.recovered == [RecoveryResult(commands=frozenset([command_id(office, 0)]))]


def test_what_an_activated_policy_keeps_is_recalled_at_once(office: Office) -> None:
    """The activation after the restore could not know of it, and the deleter waits with what it repeats."""
    office.run(GIVEN)
    backup = back_up(office.ledger)
    office.run(DUE)
    restore(office.ledger, backup)
    office.ledger.run_in_transaction(lambda c: activate(c, KEEPING, office.now))
    office.start(KEEPING)
    assert office.run(LATER) == ["recall"]


def test_what_is_still_required_is_sent_again_as_the_same_command(office: Office) -> None:
    backup = back_up(office.ledger)
    office.run(DUE)
    restore(office.ledger, backup)
    office.start()
    assert office.run(LATER) == []
    assert office.spots == [
        "deleter: sent commands: some were recovered, and more may still reach their topics"
    ]
    office.run((instant(LATER) + IN_FLIGHT).isoformat())
    first, second = office.bus.sent
    assert (first.value["attempt"], second.value["attempt"]) == (1, 2)
    assert first.value["command_id"] == second.value["command_id"]
    assert first.value["seq"] == second.value["seq"]
    acknowledge(office.ledger, command_id(office, 0), "already_done", EVEN_LATER)
    assert list_commands(office.ledger) == [("website", "erase", "acknowledged")]


def test_nothing_new_is_claimed_before_the_topics_were_read(office: Office) -> None:
    """A claim before it would command the same again, under another number."""
    backup = back_up(office.ledger)
    office.run(DUE)
    restore(office.ledger, backup)
    record_events(office.ledger, [feedback("f2", GIVEN, visitor="2")], DUE)
    office.start()
    assert office.run(LATER) == []
    assert office.run((instant(LATER) + IN_FLIGHT).isoformat()) == ["erase", "erase"]
    names = {message.value["records"][0]["id"] for message in office.bus.sent[1:]}
    assert names == {"f1", "f2"}


def test_a_failure_has_it_looked_at_again(office: Office) -> None:
    """The ledger is restored while the deleter runs: its connection breaks, and that is all it sees."""
    office.run(GIVEN)
    backup = back_up(office.ledger)
    office.run(DUE)
    restore(office.ledger, backup)
    office.fails = True
    with pytest.raises(ConnectionError):
        office.deleter.run_once()
    office.fails = False
    record_events(office.ledger, [hold()], LATER)
    assert office.run(LATER) == ["recall"]


def test_a_connection_that_was_lost_without_a_failure_has_it_looked_at_again(
    postgres_office: Office,
) -> None:
    """The pool replaces it before a transaction begins: no run has failed."""
    office = postgres_office
    office.run(GIVEN)
    backup = back_up(office.ledger)
    office.run(DUE)
    restore(office.ledger, backup)
    with office.ledger.transaction() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    other = open_database(office.ledger.engine.url.render_as_string(hide_password=False))
    with closing(other), other.transaction() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    record_events(office.ledger, [hold()], LATER)
    assert office.run(LATER) == ["recall"]


def test_a_command_that_the_backup_has_as_unsent_was_sent_all_the_same(office: Office) -> None:
    """It must be recalled: cancelling it would leave it with its system."""
    pause_system(office, "paused")
    office.run(DUE)
    assert list_commands(office.ledger) == [("website", "erase", "unsent")]
    backup = back_up(office.ledger)
    pause_system(office, "running")
    assert office.run(DUE) == ["erase"]
    restore(office.ledger, backup)
    record_events(office.ledger, [hold()], LATER)
    office.start()
    assert office.run(LATER) == ["recall"]


def test_a_command_that_was_cancelled_after_the_restore_is_recalled(office: Office) -> None:
    """The recorder works while the deleter reads: it knew of nothing that was sent."""
    pause_system(office, "paused")
    office.run(DUE)
    backup = back_up(office.ledger)
    pause_system(office, "running")
    office.run(DUE)
    restore(office.ledger, backup)
    find_command(office.ledger, state="unsent")
    withdrawn = {"subject": "visitor:1", "purpose": "website_experience"}
    record_events(
        office.ledger, [event("w", "privacy.consent-withdrawn", LATER, **withdrawn)], LATER
    )
    record_events(office.ledger, [hold()], LATER)
    office.start()
    assert office.run(LATER)[-1] == "recall"


def test_a_command_that_was_cancelled_and_found_sent_is_recalled_by_a_later_hold(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does its step again: else another one would, and a hold would recall only that."""
    pause_system(office, "paused")
    office.run(DUE)
    backup = back_up(office.ledger)
    pause_system(office, "running")
    office.run(DUE)
    restore(office.ledger, backup)
    pause_system(office, "running")
    record_events(office.ledger, [hold(DUE)], DUE)
    office.start()
    monkeypatch.setattr(office, "lagging_partitions", lambda: ["recorder"])
    office.run(LATER)
    assert list_commands(office.ledger) == [("website", "erase", "cancelled")]
    monkeypatch.undo()
    released = event("r", "privacy.hold-released", LATER, subject="visitor:1", hold_id="h")
    record_events(office.ledger, [released], LATER)
    see_time_of(office, monkeypatch)
    office.run(LATER)
    after = (instant(LATER) + IN_FLIGHT).isoformat()
    assert office.run(after) == ["erase"]
    assert list_commands(office.ledger) == [("website", "erase", "sent")]
    fields = {"subject": "visitor:1", "hold_id": "h2", "ground": "legal_claim"}
    record_events(office.ledger, [event("h2", "privacy.hold-placed", after, **fields)], after)
    assert office.run(after) == ["recall"]
    assert list_commands(office.ledger, action="erase") == [("website", "erase", "recalling")]


def test_of_what_is_sent_twice_the_lost_command_is_recalled_at_once(office: Office) -> None:
    """It was under way at the first check. A later hold would recall only the one that stays."""
    backup = back_up(office.ledger)
    office.run(DUE)
    under_way, office.bus.places = office.bus.places, []
    restore(office.ledger, backup)
    record_events(office.ledger, [feedback("f0", "2020-01-09T09:00:00Z")], GIVEN)
    office.start()
    office.bus.places += [(RecordMetadata(topic="t", partition=0, offset=0), [])]
    assert office.run(LATER) == ["erase", "erase"]
    place, commands = under_way[0]
    office.bus.places += [(place._replace(offset=len(office.bus.places)), commands)]
    assert office.run((instant(LATER) + IN_FLIGHT).isoformat()) == ["recall"]
    [recall] = select_rows(office.ledger, tables.command, action="recall")
    assert recall.supersedes == command_id(office, 0)
    assert list_commands(office.ledger) == [
        ("website", "erase", "recalling"),
        ("website", "erase", "sent"),
        ("website", "erase", "sent"),
        ("website", "recall", "sent"),
    ]


@pytest.mark.parametrize("is_proven", [False, True], ids=["repetition out", "repetition proven"])
def test_a_command_that_was_lost_with_its_repetition_is_repeated_once(
    office: Office, monkeypatch: pytest.MonkeyPatch, is_proven: bool
) -> None:
    """What it finds left is the repetition's to erase, or contradicts that too; two stopped the deleter."""
    backup = back_up(office.ledger)
    office.run(DUE)
    acknowledge(office.ledger, command_id(office, 0), "done", DUE, counts={"rows": 1})
    verified, after, last = "2023-02-10T09:00:00Z", "2023-03-10T09:00:00Z", "2023-04-10T09:00:00Z"
    assert office.run(verified) == ["verify"]
    acknowledge(office.ledger, command_id(office, 1), "done", verified, counts={"rows": 1})
    assert office.run(verified) == ["erase"]
    first, repetition = command_id(office, 0), command_id(office, 2)
    restore(office.ledger, backup)
    read = office.bus.read
    monkeypatch.setattr(office.bus, "read", lambda offsets: iter([list(chain(*read(offsets)))]))
    office.start()
    office.run(verified)
    recall = find_command(office.ledger, action="recall")
    acknowledge(office.ledger, recall, "already_done", verified)
    office.run(after)
    if is_proven:
        acknowledge(office.ledger, repetition, "done", after, counts={"rows": 1})
        office.run(last)
        check = find_command(office.ledger, action="verify", supersedes=repetition)
        acknowledge(office.ledger, check, "done", last, counts={"rows": 0})
    check = find_command(office.ledger, action="verify", supersedes=first)
    acknowledge(office.ledger, check, "done", last, counts={"rows": 1})
    office.run(last)
    assert list_commands(office.ledger, action="erase") == [
        *([("website", "erase", "erased")] if is_proven else []),
        ("website", "erase", "reopened"),
        ("website", "erase", "sent"),
    ]


def test_a_recall_that_was_sent_is_not_forgotten(office: Office) -> None:
    """Without it, its command would be sent again, which its system answers with `recalled`."""
    backup = back_up(office.ledger)
    office.run(DUE)
    record_events(office.ledger, [hold(DUE)], DUE)
    assert office.run(LATER) == ["recall"]
    restore(office.ledger, backup)
    record_events(office.ledger, [hold(DUE)], DUE)
    office.start()
    office.run(EVEN_LATER)
    assert list_commands(office.ledger) == [
        ("website", "erase", "recalling"),
        ("website", "recall", "sent"),
    ]
    assert find_command(office.ledger, action="recall") == command_id(office, 1)
    acknowledge(office.ledger, command_id(office, 1), "recalled", EVEN_LATER)
    assert list_commands(office.ledger) == [
        ("website", "erase", "recalled"),
        ("website", "recall", "acknowledged"),
    ]


def test_of_two_commands_about_one_record_the_later_one_counts(office: Office) -> None:
    """The first was recalled under a hold; after its release the erasure was commanded again."""
    backup = back_up(office.ledger)
    office.run(DUE)
    released = event("r", "privacy.hold-released", LATER, subject="visitor:1", hold_id="h")
    record_events(office.ledger, [hold(DUE)], DUE)
    office.run(DUE)
    acknowledge(office.ledger, command_id(office, 1), "recalled", DUE)
    record_events(office.ledger, [released], LATER)
    assert office.run(LATER) == ["erase"]
    restore(office.ledger, backup)
    record_events(office.ledger, [hold(DUE), released], LATER)
    office.start()
    office.run(EVEN_LATER)
    assert list_commands(office.ledger) == [
        ("website", "erase", "recalling"),
        ("website", "erase", "sent"),
        ("website", "recall", "sent"),
    ]
    acknowledge(office.ledger, command_id(office, 1), "recalled", EVEN_LATER)
    acknowledge(office.ledger, command_id(office, 2), "done", EVEN_LATER)
    assert office.run(EVEN_LATER) == []


def test_a_later_hold_recalls_the_second_of_two_lost_commands(office: Office) -> None:
    """The first one, which is being recalled, gives its step away; a pause delays no recall."""
    backup = back_up(office.ledger)
    office.run(DUE)
    released = event("r", "privacy.hold-released", LATER, subject="visitor:1", hold_id="h")
    record_events(office.ledger, [hold(DUE)], DUE)
    office.run(DUE)
    acknowledge(office.ledger, command_id(office, 1), "recalled", DUE)
    record_events(office.ledger, [released], LATER)
    assert office.run(LATER) == ["erase"]
    restore(office.ledger, backup)
    record_events(office.ledger, [hold(DUE), released], LATER)
    office.start()
    office.run(LATER)
    pause_deleter(office)
    fields = {"subject": "visitor:1", "hold_id": "h2", "ground": "legal_claim"}
    record_events(office.ledger, [event("h2", "privacy.hold-placed", LATER, **fields)], LATER)
    office.run(EVEN_LATER)
    [second] = select_rows(office.ledger, tables.command, command_id=command_id(office, 2))
    assert second.state == "recalling"


def test_a_recall_of_a_command_that_the_backup_has_is_not_forgotten(office: Office) -> None:
    office.run(DUE)
    backup = back_up(office.ledger)
    record_events(office.ledger, [hold(DUE)], DUE)
    office.run(LATER)
    restore(office.ledger, backup)
    record_events(office.ledger, [hold(DUE)], DUE)
    office.start()
    office.run(EVEN_LATER)
    assert find_command(office.ledger, action="recall") == command_id(office, 1)


def test_a_recall_of_a_command_that_the_backup_has_as_unsent_is_not_forgotten(
    office: Office,
) -> None:
    """Both were sent; cancelled and found sent, the command would refuse to be recalled."""
    pause_system(office, "paused")
    office.run(DUE)
    backup = back_up(office.ledger)
    pause_system(office, "running")
    office.run(DUE)
    record_events(office.ledger, [hold(DUE)], DUE)
    assert office.run(LATER) == ["recall"]
    restore(office.ledger, backup)
    released = event("r", "privacy.hold-released", LATER, subject="visitor:1", hold_id="h")
    record_events(office.ledger, [hold(DUE), released], LATER)
    office.start()
    office.run(EVEN_LATER)
    assert list_commands(office.ledger) == [
        ("website", "erase", "recalling"),
        ("website", "recall", "sent"),
    ]
    acknowledge(office.ledger, command_id(office, 1), "recalled", EVEN_LATER)
    office.run((instant(EVEN_LATER) + IN_FLIGHT).isoformat())
    assert list_commands(office.ledger) == [
        ("website", "erase", "recalled"),
        ("website", "erase", "unsent"),
        ("website", "recall", "acknowledged"),
    ]


def test_what_was_sent_is_found_while_the_deleter_is_paused(office: Office) -> None:
    """An operator who restores a ledger pauses the deleter first; a pause delays no recall."""
    backup = back_up(office.ledger)
    office.run(DUE)
    restore(office.ledger, backup)
    pause_deleter(office)
    record_events(office.ledger, [hold()], LATER)
    office.start()
    assert office.run(LATER) == ["recall"]
    assert office.run((instant(LATER) + IN_FLIGHT).isoformat()) == []


def test_topics_that_cannot_be_read_hold_up_no_recall(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deleter without `Read` on the command topics still recalls what the ledger knows."""
    office.run(DUE)
    record_events(office.ledger, [hold()], LATER)
    office.start()

    def refuse() -> Mapping[Partition, int]:
        raise ConnectionError

    monkeypatch.setattr(office.bus, "end_offsets", refuse)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            office.run(LATER)
    assert [message.value["action"] for message in office.bus.sent] == ["erase", "recall"]


def test_a_clock_that_is_set_back_does_not_hold_up_the_second_check(office: Office) -> None:
    backup = back_up(office.ledger)
    office.run(DUE)
    restore(office.ledger, backup)
    office.start()
    office.run("2033-01-10T09:30:00Z")
    office.run(LATER)
    office.run((instant(LATER) + IN_FLIGHT).isoformat())
    assert office.spots == ()


def test_a_person_is_not_given_notice_twice(office: Office) -> None:
    """A notice that is forgotten would be given again, and could not be recalled."""
    office.ledger.run_in_transaction(lambda c: activate(c, NOTICES, office.now))
    office.start(NOTICES)
    announced = "2020-12-20T09:00:00Z"
    backup = back_up(office.ledger)
    assert office.run(announced) == ["notify"]
    restore(office.ledger, backup)
    office.start(NOTICES)
    assert office.run(announced) == []
    record_events(office.ledger, [hold(announced)], announced, policy=NOTICES)
    assert office.run((instant(announced) + IN_FLIGHT).isoformat()) == ["recall"]


def test_later_commands_have_higher_numbers_than_those_that_were_lost(office: Office) -> None:
    backup = back_up(office.ledger)
    office.run(DUE)
    restore(office.ledger, backup)
    record_events(office.ledger, [feedback("f2", GIVEN)], DUE)
    office.start()
    office.run(LATER)
    office.run((instant(LATER) + IN_FLIGHT).isoformat())
    numbers = {
        message.value["records"][0]["id"]: message.value["seq"] for message in office.bus.sent
    }
    assert numbers == {"f1": 1, "f2": 2}


def test_a_command_whose_records_are_not_recorded_is_counted(office: Office) -> None:
    office.run(DUE)
    restore(office.ledger, {table.name: [] for table in tables.metadata.sorted_tables})
    office.start()
    office.run(LATER)
    assert office.recovered == [RecoveryResult(lost=1)]
    assert office.spots == ()


def test_a_policy_that_the_ledger_has_lost_stops_the_deleter(office: Office) -> None:
    """Under the policy before it, what has to be kept now might be erased."""
    office.run(GIVEN)
    backup = back_up(office.ledger)
    office.ledger.run_in_transaction(lambda c: activate(c, NEXT, office.now))
    office.start(NEXT)
    assert office.run(DUE) == ["erase"]
    restore(office.ledger, backup)
    office.start()
    office.run(LATER)
    [stop] = select_rows(office.ledger, tables.control)
    assert (stop.scope, stop.state) == ("deleter", "paused")
    assert stop.reason == (
        "the ledger was restored, and commands were sent under policy next, which it does not have;"
        " activate that, then resume"
    )
    record_events(office.ledger, [hold()], LATER)
    assert office.run(EVEN_LATER) == ["recall"]


def test_a_recall_under_a_policy_that_the_ledger_has_lost_stops_the_deleter(office: Office) -> None:
    """The backup has what was recalled: the recall alone shows that the policy was changed."""
    office.run(DUE)
    backup = back_up(office.ledger)
    office.ledger.run_in_transaction(lambda c: activate(c, KEEPING, office.now))
    office.start(KEEPING)
    assert office.run(LATER) == ["recall"]
    restore(office.ledger, backup)
    office.start()
    office.run(EVEN_LATER)
    [stop] = select_rows(office.ledger, tables.control)
    assert (stop.scope, stop.state) == ("deleter", "paused")


def test_a_topic_that_was_made_anew_is_read_from_its_start(office: Office) -> None:
    """Its offsets say nothing about the messages of the former one."""
    office.run(DUE)
    record_events(office.ledger, [feedback("f2", GIVEN)], DUE)
    backup = back_up(office.ledger)
    office.run(LATER)
    (place, _), (_, [second]) = office.bus.places
    office.bus.places[0] = (place, [{**second, "command_id": str(UUID(int=7))}])
    restore(office.ledger, backup)
    office.start()
    office.run(EVEN_LATER)
    assert select_rows(office.ledger, tables.command, command_id=UUID(int=7))


def test_an_unnamed_command_finds_its_record(office: Office) -> None:
    backup = back_up(office.ledger)
    office.run(DUE)
    place, [fields] = office.bus.places[0]
    office.bus.places[0] = (place, [{**fields, "subject": None}])
    restore(office.ledger, backup)
    office.start()
    office.run(LATER)
    [row] = select_rows(office.ledger, tables.command)
    assert (row.subject, row.names_subject) == ("visitor:1", False)


def pause_deleter(office: Office) -> None:
    with office.ledger.transaction() as connection:
        pause.set_pause_state(
            connection, "deleter", "paused", operator="o", reason="r", now=office.now
        )


def pause_system(office: Office, state: pause.State) -> None:
    with office.ledger.transaction() as connection:
        pause.set_pause_state(
            connection, "system:website", state, operator="o", reason="r", now=office.now
        )
