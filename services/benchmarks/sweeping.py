"""A deleter on the stage: real ledger, real bus, and a note of what went out when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter, sleep, time
from uuid import UUID

from schemas import catalogue
from services.benchmarks.stage import Stage
from services.bus import Bus
from services.deleter.loop import Deleter, Limits
from services.deleter.outlet import BusOutlet
from services.deleter.relaying import Sent
from services.deleter.sight import BusSight
from services.ledger.database import Ledger

_NO_CAP = Limits(commands_per_hour=0)


@dataclass(slots=True)
class Seen:
    """What a deleter did, as its observer is told."""

    commands: list[Sent] = field(default_factory=list)
    out_at: list[datetime] = field(default_factory=list)
    """When each command was known to be out and marked so, UTC."""

    def blind(self, spots: Sequence[str]) -> None:
        """A benchmark's bus is empty: whoever is blind here measures nothing."""
        if spots:
            raise RuntimeError(f"the deleter is blind: {spots}")

    def sent(self, commands: Sequence[Sent]) -> None:
        """Note them."""
        self.commands.extend(commands)
        self.out_at.extend([this_now()] * len(commands))

    def escalated(self, commands: Sequence[tuple[str, UUID]]) -> None:
        """Nobody answers, and nobody minds."""

    def capped(self, cap: int) -> None:
        """There is no cap."""


def this_now() -> datetime:
    """This machine's clock, UTC; the database on the stage has the same."""
    return datetime.fromtimestamp(time(), UTC)


def open_bus(stage: Stage) -> Bus:
    """The stage's Kafka with every topic that the deleter needs."""
    bus = Bus(stage.kafka().bootstrap)
    business = [catalogue.business_topic(event_type) for event_type in stage.policy.events]
    commands = [catalogue.commands(system) for system in stage.policy.systems]
    bus.ensure([*business, *commands, catalogue.TAGGED, catalogue.DEAD_LETTERS])
    return bus


def deleter(
    stage: Stage, ledger: Ledger, bus: Bus, seen: Seen, limits: Limits = _NO_CAP
) -> Deleter:
    """A deleter as `termijn deleter` runs it, without the hourly cap."""
    return Deleter(
        ledger=ledger,
        outlet=BusOutlet(
            sender=bus.sender(),
            codec=stage.codec,
            topics={system: catalogue.commands(system) for system in stage.policy.systems},
        ),
        sight=BusSight(
            ledger=ledger,
            bus=bus,
            cluster_id=bus.cluster_id,
            business=[catalogue.business_topic(one).name for one in stage.policy.events],
            tagged=[catalogue.TAGGED.name, catalogue.DEAD_LETTERS.name],
            sleep=sleep,
        ),
        policy=stage.policy,
        observer=seen,
        now=this_now,
        limits=limits,
    )


def drained(deleter: Deleter) -> float:
    """Seconds until nothing is due any more."""
    started = perf_counter()
    while deleter.round():
        pass
    return perf_counter() - started


def driven(deleter: Deleter, until: Callable[[], bool]) -> None:
    """Rounds until it is so; a short rest where there was nothing to do."""
    while not until():
        if not deleter.round():
            sleep(_REST_SECONDS)


_REST_SECONDS = 0.02
