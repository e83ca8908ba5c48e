"""The cost of an event in `termijn recorder`, run as in production on a real Kafka and PostgreSQL."""

from __future__ import annotations

from contextlib import closing
from statistics import median

from schemas.topics import TAGGED
from services.storage import pause
from services.storage.database import Database, database_now, open_database
from services.storage.pause import State
from tests.benchmarks import load_fixtures
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure
from tests.benchmarks.roles import Role
from tests.benchmarks.tagging import wait_until_joined
from tests.benchmarks.traffic import Traffic, wait_until


def recorder_cpu(stage: Stage, *, companies: int) -> Figure:
    """Measure the role's CPU, all threads, from its first event to its last, without its start."""
    traffic = Traffic.made(stage, companies=companies)
    traffic.begin()
    traffic.go_on()
    traffic.bus.ensure_topics([TAGGED])
    _tag(stage, traffic)
    spent = [_measure_recording(stage, traffic, run) for run in range(stage.runs)]
    return Figure(
        name="recorder.cpu",
        value=median(spent) / traffic.events * 1e6,
        unit=f"CPU µs an event of the role, {traffic.events:,} events on Kafka into PostgreSQL",
        runs=stage.runs,
    )


def _tag(stage: Stage, traffic: Traffic) -> None:
    url = _new_database(stage)
    with Role("tagger", _settings(stage, traffic, url, "tags"), stage.directory / "tags.log"):
        wait_until(
            lambda: traffic.arrived(TAGGED.name, {}) >= traffic.events, "tagging did not finish"
        )


def _measure_recording(stage: Stage, traffic: Traffic, run: int) -> float:
    """Return the CPU seconds of recording every event into an empty ledger."""
    url, group = _new_database(stage), f"records-{run}"
    settings = _settings(stage, traffic, url, group)
    with closing(open_database(url)) as ledger:
        _put(ledger, "paused")
        with Role("recorder", settings, stage.directory / f"{group}.log") as role:
            wait_until_joined(traffic, f"{group}-recorder", role)
            before = role.used().cpu_seconds
            _put(ledger, "running")
            wait_until(lambda: _count_events(ledger) >= traffic.events, "recording did not finish")
            return role.used().cpu_seconds - before


def _new_database(stage: Stage) -> str:
    url = stage.postgres().fresh_database()
    with closing(open_database(url)) as ledger:
        stage.migrate(ledger)
    return url


def _settings(stage: Stage, traffic: Traffic, url: str, group: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": traffic.broker.bootstrap,
        "TERMIJN_KAFKA_GROUP": group,
        "TERMIJN_LEDGER_URL": url,
        "TERMIJN_DATA": str(stage.directory / group),
    }


def _count_events(ledger: Database) -> int:
    with ledger.transaction() as connection:
        return load_fixtures.count(connection, "event")


def _put(ledger: Database, state: State) -> None:
    ledger.run_in_transaction(
        lambda connection: pause.set_pause_state(
            connection,
            "recorder",
            state,
            operator="benchmark",
            reason="start-up is not measured",
            now=database_now(connection),
        )
    )
