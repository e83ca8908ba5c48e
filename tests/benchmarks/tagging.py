"""The cost of an event in the whole tagger, on a real Kafka, against copying its bytes in Python."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

import psutil
from confluent_kafka import ConsumerGroupState, KafkaException

from schemas.topics import TAGGED
from services.storage import pause
from services.storage.database import Database, open_database
from services.storage.pause import State
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, upper
from tests.benchmarks.roles import Program, Role
from tests.benchmarks.traffic import NoProgress, Place, Traffic, wait_until

_QUICK = 350
"""Companies; each makes about thirty events."""
_FULL = 3_300
_COPIES = "benchmark.copies"
_SETTLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTime:
    """The CPU and time that the traffic has cost."""

    cpu_seconds: float
    """Of the program, all its threads."""
    broker_cpu_seconds: float
    seconds: float
    """From the first message that came out to the last."""


def tagging(stage: Stage) -> Iterator[Figure]:
    """Measure the tagger's CPU an event against a copier's; its rate and the broker's CPU beside it."""
    traffic = Traffic.made(stage, companies=stage.size(_QUICK, _FULL))
    traffic.begin()
    traffic.go_on()
    traffic.broker.create_topics({_COPIES: TAGGED.partitions})
    tagged, copied = [], []
    for run in range(stage.runs):
        tagged.append(measure_tagger(stage, traffic, run))
        copied.append(_measure_copier(stage, traffic, run))
    yield Figure(
        name="tagger.cpu",
        value=_microseconds([tagged_event.cpu_seconds for tagged_event in tagged], traffic),
        unit="CPU µs an event, positions in PostgreSQL; against a copier of bytes",
        baseline=_microseconds([tagged_event.cpu_seconds for tagged_event in copied], traffic),
        reach=upper(9),
        runs=stage.runs,
    )
    yield Figure(
        name="tagger.rate",
        value=median(traffic.events / tagged_event.seconds for tagged_event in tagged),
        unit="events a second, broker and tagger on the same cores",
        baseline=median(traffic.events / tagged_event.seconds for tagged_event in copied),
        runs=stage.runs,
    )
    yield Figure(
        name="tagger.broker",
        value=_microseconds([tagged_event.broker_cpu_seconds for tagged_event in tagged], traffic),
        unit="CPU µs an event, of the broker",
        baseline=_microseconds(
            [tagged_event.broker_cpu_seconds for tagged_event in copied], traffic
        ),
        runs=stage.runs,
    )


def measure_tagger(stage: Stage, traffic: Traffic, run: int, *, group: str = "bench") -> CpuTime:
    """Return what `termijn tagger` spends on the traffic, from its first message to its last."""
    url = stage.postgres().fresh_database()
    data = stage.directory / f"{group}-{run}"
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": traffic.broker.bootstrap,
        "TERMIJN_KAFKA_GROUP": f"{group}-{run}",
        "TERMIJN_LEDGER_URL": url,
        "TERMIJN_DATA": str(data),
    }
    with closing(open_database(url)) as ledger:
        stage.migrate(ledger)
        _put(ledger, "paused")
        with Role("tagger", settings, stage.directory / "tagger.log") as role:
            wait_until_joined(traffic, f"{group}-{run}-tagger", role)
            return _measure_cpu_time(traffic, role, TAGGED.name, lambda: _put(ledger, "running"))


def _measure_copier(stage: Stage, traffic: Traffic, run: int) -> CpuTime:
    """Return the cost of copying the same keys and values, with the same client as the tagger."""
    log = stage.directory / f"copier-{run}.log"
    program = "tests.benchmarks.engines.passthrough"
    arguments = (traffic.broker.bootstrap, f"copier-{run}", _COPIES, *traffic.topics)
    with Program([sys.executable, "-m", program, *arguments], {}, log) as copier:
        wait_until(lambda: b"ready" in log.read_bytes(), "the copier did not start")
        return _measure_cpu_time(traffic, copier, _COPIES, lambda: copier.write_line("go"))


def _measure_cpu_time(
    traffic: Traffic, program: Program, sink: str, go: Callable[[], None]
) -> CpuTime:
    broker = psutil.Process(traffic.broker.pid)
    since = traffic.bus.end_offsets([sink])
    before, broker_before = program.used(), _cpu_seconds(broker)
    go()
    wait_for(traffic, program, sink, since, 1)
    started = time.monotonic()
    wait_for(traffic, program, sink, since, traffic.events)
    seconds = time.monotonic() - started
    time.sleep(_SETTLE_SECONDS)  # until it has noted how far it read
    return CpuTime(
        cpu_seconds=program.used().cpu_seconds - before.cpu_seconds,
        broker_cpu_seconds=_cpu_seconds(broker) - broker_before,
        seconds=seconds,
    )


def wait_for(
    traffic: Traffic, program: Program, sink: str, since: Mapping[Place, int], count: int
) -> None:
    """Wait until a program has sent so many messages to a topic.

    Raises:
        NoProgress: the program ended, or did not send them within three minutes.
    """

    def arrived() -> bool:
        if not program.alive:
            raise NoProgress(f"it ended; see {program.log}")
        return traffic.arrived(sink, since) >= count

    wait_until(arrived, f"{sink} did not get {count} messages")


def _put(ledger: Database, state: State) -> None:
    ledger.run_in_transaction(
        lambda connection: pause.set_pause_state(
            connection,
            "tagger",
            state,
            operator="benchmark",
            reason="start-up is not measured",
            now=datetime.now(UTC),
        )
    )


def wait_until_joined(traffic: Traffic, group: str, role: Role) -> None:
    """Wait until the role is ready for its first message: its start is not measured."""

    def joined() -> bool:
        if not role.alive:
            raise NoProgress(f"it ended; see {role.log}")
        asked = traffic.broker.admin.describe_consumer_groups([group])
        try:
            return bool(asked[group].result().state is ConsumerGroupState.STABLE)
        except KafkaException:  # the broker is still making the topic that it keeps groups in
            return False

    wait_until(joined, f"{group} did not join", every=0.2)
    time.sleep(_SETTLE_SECONDS)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _microseconds(cpu_seconds: Sequence[float], traffic: Traffic) -> float:
    return median(cpu_seconds) / traffic.events * 1e6
