"""The model's state: ledger, bus, agent with its system, and what can still happen."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeVar

from tests.model.wanted import TICKS, due_tick

T = TypeVar("T")
Fact = tuple[str, int]
"""What happened, and to which person; `record` with the number of the record."""
Kind = Literal["erasure", "recall", "check"]


class Promise(StrEnum):
    """An invariant that holds in every state and at every step."""

    UNREAD = "nothing is emitted past what is unread"
    HOLD = "nothing is emitted under a hold"
    POLICY = "nothing is emitted that the active policy keeps"
    MINIMUM = "nothing is emitted before its time"
    KNOWN = "what can be carried out is known to be out"
    OBEYED = "a recall that could be read is obeyed"
    TRUE = "what the ledger shows is so"


class Emission(NamedTuple):
    """One message to the system: an attempt of a command."""

    number: int
    kind: Kind
    command: int
    items: tuple[tuple[int, int], ...]  # the item's number in its command, and its record
    about: int = 0  # the command that a recall is about, where recalls name commands

    @property
    def records(self) -> tuple[int, ...]:
        """Return the records whose erasure is commanded."""
        return tuple(record for _, record in self.items)

    def __str__(self) -> str:
        items = ", ".join(f"item {item} = record {record}" for item, record in self.items)
        article = "an" if self.kind == "erasure" else "a"
        return f"{article} {self.kind} no. {self.number} (command {self.command}: {items})"


class Answer(NamedTuple):
    """An acknowledgement."""

    number: int
    whole: str  # what it reports of every item that it does not name
    speaks_for: int
    statuses: tuple[tuple[int, str], ...]  # by item
    checked: tuple[tuple[int, bool], ...]  # items that were read again: is something there?

    def __str__(self) -> str:
        whole = [f"{self.whole} for {self.speaks_for}"] if self.whole else []
        named = ", ".join(whole + [f"item {item} {status}" for item, status in self.statuses])
        checks = [f"; item {i} read again, {'found' if f else 'gone'}" for i, f in self.checked]
        return named + "".join(checks)


class Obligation(NamedTuple):
    """The erasure of one record."""

    state: str = ""
    number: int = 0  # its highest emission, checks apart
    command: int = 0
    item: int = 0
    policy: int = 0  # under which it was decided
    check: int = 0  # its highest check
    is_again: bool = False  # it was carried out once, and found again


class Ledger(NamedTuple):
    """Everything that a backup of the ledger contains."""

    active: int
    facts: frozenset[Fact]
    due: tuple[int | None, ...]  # when each record is scanned; it only nominates
    obligations: tuple[Obligation, ...]
    to_date: frozenset[int] = frozenset()  # records that an activation has not dated again yet
    log: frozenset[Emission] = frozenset()
    settled: frozenset[Answer] = frozenset()
    sequence: int = 0
    fence: int = 0  # what emissions below it did was undone by a restore of the system
    is_blind: bool = False  # it was restored, and has not read yet what it sent since

    def change(self, record: int, **changes: Any) -> Ledger:
        """Return the ledger with fields of a record's obligation replaced."""
        changed = self.obligations[record]._replace(**changes)
        return self._replace(obligations=put(self.obligations, record, changed))

    def emission(self, number: int) -> Emission | None:
        """Return the emission of that number, or None if the ledger does not know it."""
        return next((emission for emission in self.log if emission.number == number), None)


class Note(NamedTuple):
    """What the agent's inbox has stored on one obligation."""

    number: int = 0
    phase: str = ""
    did: int = 0  # the emission under which it was carried out
    about: int = 0


class Deleter(NamedTuple):
    """The step that a process of the deleter has reached."""

    at: Literal["idle", "decided", "looked", "producing"] = "idle"
    emission: Emission | None = None
    ends: frozenset[Fact] = frozenset()
    uncommitted: Ledger | None = None


class Recorder(NamedTuple):
    """An open transaction of a recorder: what it writes, and what it read when it began."""

    fact: Fact
    active: int
    facts: frozenset[Fact]


class State(NamedTuple):
    """The state of the whole model."""

    ledger: Ledger
    rows: tuple[bool, ...]  # whether the system has each record
    future: tuple[Fact, ...]  # what will be published, in this order, if it is
    chances: frozenset[str]  # the misfortunes and whims that can still come, each once
    deleters: tuple[Deleter, ...]
    notes: tuple[Note, ...]
    policy: int  # the one that a person made active last
    tick: int = 0
    unread: frozenset[Fact] = frozenset()
    old: frozenset[Fact] = frozenset()  # unread for more than five seconds
    parked: frozenset[Fact] = frozenset()
    recorders: tuple[Recorder, ...] = ()
    is_hidden: bool = False  # the brokers do not show a partition
    is_paused: bool = False
    backup: Ledger | None = None
    flight: frozenset[Emission] = frozenset()  # given to the broker; it may still arrive
    topic: frozenset[Emission] = frozenset()  # in no order
    read: frozenset[int] = frozenset()
    ends: frozenset[int] | None = None  # what stood on the topic when the agent's round began
    short: frozenset[int] = frozenset()  # emissions of which the agent lost an item in reading
    answers: frozenset[Answer] = frozenset()
    missed: frozenset[int] = frozenset()  # the system wrongly believes that it erased them
    back: frozenset[int] = frozenset()  # a restore of the system brought them back, unknown so far

    def spend(self, chance: str, **changes: Any) -> State:
        """Return the state with one mishap fewer left."""
        return self._replace(chances=self.chances - {chance}, **changes)

    def at(self, number: int, *deleter: Any) -> State:
        """Return the state with one deleter process at another step; idle if none is given."""
        return self._replace(deleters=put(self.deleters, number, Deleter(*deleter)))

    def note(self, record: int, **changes: Any) -> State:
        """Return the state with another entry in the agent's inbox."""
        note = self.notes[record]._replace(**changes)
        return self._replace(notes=put(self.notes, record, note))

    @property
    def locked(self) -> set[int]:
        """Return the records of which a deleter is producing an emission."""
        producing = [deleter.emission for deleter in self.deleters if deleter.at == "producing"]
        return {record for emission in producing if emission for record in emission.records}


@dataclass(frozen=True, kw_only=True)
class World:
    """The events and faults that can happen, and the rules that are used."""

    persons: tuple[int, ...] = (0,)  # whom each record is about
    known: Set[Fact] = frozenset({("gone", 0)})  # what the ledger knows at first
    future: tuple[Fact, ...] = ()
    chances: Set[str] = frozenset()
    recorded: Set[int] = frozenset({0})
    deleters: int = 1
    recorders: int = 0  # transactions they have open at once; without any, recording is one step
    policy: int = 0
    last: int = len(TICKS) - 1  # the tick at which time ends
    history: Set[int] = frozenset()  # live events with an old time
    same_key: Set[int] = frozenset()  # records whose events have one identifying key
    broken: str = ""  # the old rule that holds here instead of the right one

    @cached_property
    def right(self) -> World:
        """Return the same world under the correct rules."""
        return replace(self, broken="")

    def first(self) -> State:
        """Return the first state."""
        facts = frozenset({*self.known, *(("record", record) for record in self.recorded)})
        records = range(len(self.persons))
        due = (
            self.nominate(facts, self.policy, r) if r in self.recorded else None for r in records
        )
        return State(
            ledger=Ledger(self.policy, facts, tuple(due), tuple(Obligation() for _ in records)),
            rows=tuple(True for _ in records),
            future=self.future,
            chances=frozenset(self.chances),
            deleters=(Deleter(),) * self.deleters,
            notes=tuple(Note() for _ in records),
            policy=self.policy,
        )

    def person(self, fact: Fact) -> int:
        """Return the person whom a fact is about."""
        return self.persons[fact[1]] if fact[0] == "record" else fact[1]

    def nominate(self, facts: frozenset[Fact], policy: int, record: int) -> int | None:
        """Return the first tick at which its facts require a record's erasure."""
        if record in self.history:
            return 0 if self.broken == "an event's time is believed" else None
        person = self.persons[record]
        privacy_kinds = frozenset(kind for kind, who in facts if who == person and kind != "record")
        return due_tick(policy, privacy_kinds)

    def asks(self, facts: frozenset[Fact], policy: int, tick: int, record: int) -> bool:
        """Return whether facts and policy require the erasure of a record by now."""
        if ("record", record) not in facts:
            return False
        rivals = () if self.broken == "keys are believed" else self.same_key
        if record in rivals and all(("record", other) in facts for other in rivals):
            return False
        due = self.nominate(facts, policy, record)
        return due is not None and due <= tick


def put(values: tuple[T, ...], at: int, value: T) -> tuple[T, ...]:
    """Return the tuple with one value replaced."""
    return (*values[:at], value, *values[at + 1 :])
