"""Scale: what a second and a fourth process of a role add, where there are cores for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from time import monotonic, sleep

from schemas.topics import TAGGED
from services.storage import pause
from services.storage.database import Database, database_now, open_database
from tests.benchmarks import load_fixtures
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, lower
from tests.benchmarks.roles import Role
from tests.benchmarks.tagging import wait_until_joined
from tests.benchmarks.traffic import Traffic, wait_until

_QUICK = 100
"""Companies; each makes about thirty events."""
_FULL = 1_500
_PROCESSES = (1, 2, 4)
_START_SECONDS = 1.5
"""Until every process has begun to join its group; what starting costs is not measured."""


def scale(stage: Stage) -> Iterator[Figure]:
    """Measure events a second of one, two and four taggers, and of as many recorders."""
    traffic = Traffic.made(stage, companies=stage.size(_QUICK, _FULL))
    rates: dict[tuple[str, int], float] = {}
    for processes in _PROCESSES[:2] if stage.quick else _PROCESSES:
        traffic.begin()
        traffic.go_on()
        with _Run(stage, traffic, processes) as run:
            rates["tagger", processes] = run.rate("tagger", run.tagged)
            rates["recorder", processes] = run.rate("recorder", run.recorded)
    for (role, processes), rate in sorted(rates.items()):
        if processes > 1:
            yield Figure(
                name=f"scale.{role}.{processes}",
                value=rate,
                unit=f"events a second of {processes} processes, against one, on shared cores",
                baseline=rates[role, 1],
                reach=lower(1.3) if processes == 2 else None,
            )


class _Run:
    """Increasing numbers of processes of one role, on the same events and one ledger."""

    def __init__(self, stage: Stage, traffic: Traffic, processes: int) -> None:
        self._stage = stage
        self._traffic = traffic
        self._processes = processes
        self._stack = ExitStack()
        self._url = stage.postgres().fresh_database()
        self._ledger: Database = self._stack.enter_context(closing(open_database(self._url)))
        stage.migrate(self._ledger)

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def rate(self, role: str, passed: Callable[[], int]) -> float:
        """Return events a second, from the first that was processed to the last."""
        self._put(role, "paused")
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self._traffic.broker.bootstrap,
            "TERMIJN_KAFKA_GROUP": f"scale-{self._processes}",
            "TERMIJN_LEDGER_URL": self._url,
            "TERMIJN_DATA": str(self._stage.directory / f"scale-{self._processes}"),
        }
        with ExitStack() as stack:
            for number in range(self._processes):
                log = self._stage.directory / f"scale-{role}-{number}.log"
                process = stack.enter_context(Role(role, settings, log))
            sleep(_START_SECONDS)
            wait_until_joined(self._traffic, f"scale-{self._processes}-{role}", process)
            self._put(role, "running")
            wait_until(lambda: passed() > 0, f"no {role} did anything")
            first, started = passed(), monotonic()
            wait_until(
                lambda: passed() >= self._traffic.events, f"the {role} did not finish", every=0.1
            )
            return (self._traffic.events - first) / (monotonic() - started)

    def tagged(self) -> int:
        """Return how many events have been tagged."""
        return self._traffic.arrived(TAGGED.name, {})

    def recorded(self) -> int:
        """Return how many events have been recorded."""
        with self._ledger.transaction() as connection:
            return load_fixtures.count(connection, "event")

    def _put(self, role: str, state: pause.State) -> None:
        self._ledger.run_in_transaction(
            lambda connection: pause.set_pause_state(
                connection,
                role,
                state,
                operator="benchmark",
                reason="start-up is not measured",
                now=database_now(connection),
            )
        )
