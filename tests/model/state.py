"""What there is in the model: ledger, bus, agent with its system, and what can still happen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeVar, cast

from services.ledger.command_state import CommandEvent, next_state
from services.ledger.command_state import State as CommandState
from tests.model.wanted import TICKS, due_tick

T = TypeVar("T")
Fact = tuple[str, int]
"""What happened, and to which person; `record` with the number of the record."""
Kind = Literal["do", "recall", "verify"]


class Emission(NamedTuple):
    """One message to the system: an attempt of a command."""

    number: int
    kind: Kind
    command: int
    items: tuple[tuple[int, int], ...]
    """Number of the item in its command, and the record whose erasure it is about."""
    about: int = 0
    """The command that a recall is about, where recalls name commands."""

    @property
    def records(self) -> tuple[int, ...]:
        """What it is about."""
        return tuple(record for _, record in self.items)


class Answer(NamedTuple):
    """An acknowledgement."""

    number: int
    whole: str
    """What it reports of every item that it does not name."""
    speaks_for: int
    statuses: tuple[tuple[int, str], ...]
    """By item."""
    checked: tuple[tuple[int, bool], ...]
    """Items that were read again, and whether something was found."""


class Obligation(NamedTuple):
    """The erasure of one record."""

    state: str = ""
    number: int = 0
    """Its highest emission, checks apart."""
    command: int = 0
    item: int = 0
    policy: int = 0
    """Under which it was decided."""
    check: int = 0
    """Its highest check."""
    is_again: bool = False
    """It was carried out once, and found again."""


class Ledger(NamedTuple):
    """All that a backup of the ledger has."""

    active: int
    facts: frozenset[Fact]
    due: tuple[int | None, ...]
    """When each record is looked at; it only nominates."""
    obligations: tuple[Obligation, ...]
    to_date: frozenset[int] = frozenset()
    """Records that an activation has not dated again yet."""
    log: frozenset[Emission] = frozenset()
    settled: frozenset[Answer] = frozenset()
    sequence: int = 0
    fence: int = 0
    """What emissions below it have done was undone by a restore of the system."""
    is_blind: bool = False
    """It was restored, and has not read yet what it sent since."""


class Note(NamedTuple):
    """What the agent's inbox knows of one obligation."""

    number: int = 0
    phase: str = ""
    did: int = 0
    """The emission under which it was carried out."""
    about: int = 0


class Deleter(NamedTuple):
    """Where a process of the deleter is."""

    at: Literal["idle", "decided", "looked", "producing"] = "idle"
    emission: Emission | None = None
    ends: frozenset[Fact] = frozenset()
    uncommitted: Ledger | None = None


class Recorder(NamedTuple):
    """An open transaction of a recorder: what it writes, and what it saw when it began."""

    fact: Fact
    active: int
    facts: frozenset[Fact]


class State(NamedTuple):
    """Everything."""

    ledger: Ledger
    rows: tuple[bool, ...]
    """Whether the system has each record."""
    future: tuple[Fact, ...]
    """What will be published, in this order, if it is."""
    chances: tuple[str, ...]
    """The misfortunes and whims that can still come."""
    deleters: tuple[Deleter, ...]
    notes: tuple[Note, ...]
    tick: int = 0
    policy: int = 0
    """The one that a person made active last."""
    unread: frozenset[Fact] = frozenset()
    old: frozenset[Fact] = frozenset()
    """Of the unread, what has stood there for more than five seconds."""
    parked: frozenset[Fact] = frozenset()
    recorders: tuple[Recorder, ...] = ()
    is_hidden: bool = False
    """The brokers do not show a partition."""
    is_paused: bool = False
    backup: Ledger | None = None
    flight: frozenset[Emission] = frozenset()
    """Given to the broker; it may still arrive."""
    topic: frozenset[Emission] = frozenset()
    """In no order."""
    read: frozenset[int] = frozenset()
    ends: frozenset[int] | None = None
    """What stood on the topic when the agent's round began."""
    short: frozenset[int] = frozenset()
    """Emissions of which the agent lost an item while it read them."""
    answers: frozenset[Answer] = frozenset()
    missed: frozenset[int] = frozenset()
    """Records of which the system wrongly believes that it erased them."""
    back: frozenset[int] = frozenset()
    """Records that a restore of the system brought back, while the ledger does not know."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What can happen, and which rules hold."""

    persons: tuple[int, ...] = (0,)
    """Whom each record is about."""
    known: frozenset[Fact] = frozenset({("gone", 0)})
    """What the ledger knows at first."""
    future: tuple[Fact, ...] = ()
    chances: tuple[str, ...] = ()
    recorded: frozenset[int] = frozenset({0})
    deleters: int = 1
    recorders: int = 0
    """How many transactions recorders have open at once; without any, recording is one step."""
    policy: int = 0
    last: int = len(TICKS) - 1
    """The tick at which time ends."""
    history: frozenset[int] = frozenset()
    """Live events with an old time."""
    same_key: frozenset[int] = frozenset()
    """Records whose events have one identifying key."""
    broken: frozenset[str] = field(default_factory=frozenset)
    """Old rules that hold here instead of the right ones."""

    def breaking(self, *rules: str) -> World:
        """The same world with old rules."""
        return replace(self, broken=self.broken | set(rules))

    def first(self) -> State:
        """How it begins."""
        facts = self.known | {("record", record) for record in self.recorded}
        ledger = Ledger(
            active=self.policy,
            facts=facts,
            due=tuple(
                self.nominate(facts, self.policy, record) if record in self.recorded else None
                for record in range(len(self.persons))
            ),
            obligations=(Obligation(),) * len(self.persons),
        )
        return State(
            ledger=ledger,
            rows=(True,) * len(self.persons),
            future=self.future,
            chances=tuple(sorted(self.chances)),
            deleters=(Deleter(),) * self.deleters,
            notes=(Note(),) * len(self.persons),
            policy=self.policy,
        )

    def nominate(self, facts: frozenset[Fact], policy: int, record: int) -> int | None:
        """The first tick at which a record's erasure is asked for by its facts."""
        if record in self.history:
            return 0 if "an event's time is believed" in self.broken else None
        person = self.persons[record]
        known = frozenset(kind for kind, who in facts if who == person and kind != "record")
        return due_tick(policy, known)

    def asks(self, facts: frozenset[Fact], policy: int, tick: int, record: int) -> bool:
        """Whether facts and policy ask for the erasure of a record by now."""
        if ("record", record) not in facts:
            return False
        due = self.nominate(facts, policy, record)
        rivals = () if "keys are believed" in self.broken else self.same_key
        if record in rivals and all(("record", other) in facts for other in rivals):
            return False
        return due is not None and due <= tick


def become(one: Obligation, happening: CommandEvent) -> Obligation:
    """An obligation after something happened, by the ledger's own table of states."""
    return one._replace(state=next_state(cast(CommandState, one.state), happening))


def put(values: tuple[T, ...], at: int, value: T) -> tuple[T, ...]:
    """The same values with another one there."""
    return (*values[:at], value, *values[at + 1 :])


def spend(state: State, chance: str) -> State:
    """A misfortune comes once."""
    at = state.chances.index(chance)
    return state._replace(chances=state.chances[:at] + state.chances[at + 1 :])
