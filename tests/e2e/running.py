"""Termijn's roles as processes of their own, on servers of the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from schemas.cloudevents import CloudEvent, format_rfc3339
from tests.patience import Patience

ROLES = ("tagger", "recorder", "deleter", "acknowledgements", "rights")


class Running:
    """The roles on one Kafka and one PostgreSQL, with a data directory of their own."""

    def __init__(self, directory: Path, bootstrap: str, ledger_url: str, **fields: str) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.bootstrap = bootstrap
        self._url = ledger_url.replace("+psycopg", "")
        self._environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "TERMIJN_LEDGER_URL": ledger_url,
            "TERMIJN_DATA": str(self.data),
            "TERMIJN_OPERATOR": "tester",
            "TERMIJN_RETRY_SECONDS": "3",
            **fields,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}
        """Where a role serves its metrics, if a test has to know."""
        self._imports = 0
        self.own: dict[str, Mapping[str, str]] = {}
        """What a process gets in its environment besides, by its name; a command is `run`."""

    def setting(self, name: str, value: str) -> None:
        """Set an environment variable for every process that is started from now on."""
        self._environment[name] = value

    def environment(self, name: str) -> str:
        """Return an environment variable of the processes that are started."""
        return self._environment[name]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "services.app.cli", *arguments],
            env={**self._environment, **self.own.get("run", {})},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def history(self, file: Path) -> subprocess.CompletedProcess[str]:
        """Publish the events of a file as an import, wait until they are recorded, and release them."""
        self._imports += 1
        name = f"import-{self._imports}"
        completed = self.run("publish", "--backfill", "--name", name, str(file))
        return completed if completed.returncode else self.run("backfill", "release", name)

    def run_json(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the rows that a command prints with --json."""
        completed = self.run(*arguments, "--json")
        assert completed.returncode == 0, completed.stderr
        return [json.loads(line) for line in completed.stdout.splitlines()]

    def start(self, *roles: str, options: Sequence[str] = ()) -> None:
        """Start roles, each with these options."""
        for role in roles:
            self.start_as(role, role, *options)

    def start_as(self, name: str, *arguments: str) -> None:
        """Start a process under a name of its own."""
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "services.app.cli", *arguments],
                env={
                    **self._environment,
                    **self.own.get(name, {}),
                    "TERMIJN_METRICS_PORT": str(self.ports.get(name, 0)),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def log(self, role: str) -> str:
        """Return everything that a role has logged."""
        return (self.directory / f"{role}.log").read_text("utf-8", "replace")

    def has_started(self, name: str, times: int) -> bool:
        """Return whether a process has logged at least so many starts."""
        return self.log(name).count('"event": "started"') >= times

    def end(self, role: str, *, kill: bool = False) -> int:
        """End a role, and return its exit code."""
        process = self.processes.pop(role)
        (process.kill if kill else process.terminate)()
        return process.wait(30)

    def end_all(self) -> None:
        """End every role that runs."""
        for role in list(self.processes):
            self.end(role, kill=True)

    def connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a connection to the ledger's database."""
        return psycopg.connect(self._url)

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query on the ledger."""
        with psycopg.connect(self._url) as connection:
            return connection.execute(text).fetchall()

    def execute(self, *statements: str) -> None:
        """Change the ledger's database in a way that no role would."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def count(self, table: str, where: str = "true") -> int:
        """Return how many rows there are."""
        return int(self.query(f"SELECT count(*) FROM {table} WHERE {where}")[0][0])

    def until(self, what: str, true: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until a condition is true; fail with the end of the roles' logs if it never is."""
        patience = Patience(seconds)
        while not true():
            if patience.is_over:
                last = {role: self.log(role)[-600:] for role in self.processes}
                raise AssertionError(f"not within {seconds} s: {what}\n{last}")
            time.sleep(0.2)


def write_events(path: Path, events: Iterable[CloudEvent | Mapping[str, Any]]) -> Path:
    """Write a file of events in structured mode."""
    with path.open("w", encoding="utf-8") as file:
        for event in events:
            line = event if isinstance(event, Mapping) else structured(event)
            file.write(json.dumps(line) + "\n")
    return path


def structured(event: CloudEvent) -> dict[str, Any]:
    """Return an event in structured mode."""
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": format_rfc3339(event.time),
        "data": dict(event.data),
    }


def business_event(id: str, type: str, time: str, **data: Any) -> dict[str, Any]:
    """Return an event in structured mode, made from its decision fields."""
    return {
        "specversion": "1.0",
        "id": id,
        "source": "urn:test",
        "type": type,
        "time": time,
        "data": data,
    }


def identities(events: Sequence[CloudEvent]) -> set[tuple[str, str]]:
    """Return the source and id of each event."""
    return {(event.source, event.id) for event in events}
