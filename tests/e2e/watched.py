"""A running Termijn with a Prometheus that scrapes it, and the runbooks that fix its faults."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml

from services.operations.monitoring.files import files, write_files
from services.operations.monitoring.time_scale import TimeScale
from tests.e2e.running import ROLES, Running, write_events
from tests.patience import Patience
from tests.servers.kafka import KafkaBroker
from tests.servers.processes import free_ports
from tests.servers.prometheus import PrometheusServer

HASTEN = 600
"""An hour of the rules is six seconds here."""
RUNBOOKS = Path(__file__).parents[2] / "deploy" / "runbooks.md"

Labels = Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Watched:
    """The roles on one Kafka and one PostgreSQL, scraped by one Prometheus."""

    running: Running
    broker: KafkaBroker
    prometheus: PrometheusServer
    _published: int = field(default=0)

    def begin(self) -> None:
        """Start all roles and the watch, and Prometheus with faster rules."""
        started = (*ROLES, "watch")
        scraped = (*started, "agent")
        self.running.ports = dict(zip(scraped, free_ports(len(scraped)), strict=True))
        self.prometheus.start(configuration(self.running.directory, self.running.ports))
        self.running.start(*started)

    def begin_agent(self, system: str) -> None:
        """Start the agent of an unreachable system: its hook ends with an error."""
        keys = self.running.data / "keys"
        self.running.until("the deleter has keys", (keys / "deleter.jwks").exists)
        for arguments in (("make", system), ("trust", system, str(keys / f"{system}.jwks"))):
            completed = self.running.run("keys", *arguments)
            assert completed.returncode == 0, completed.stderr
        file = {
            "system": system,
            "bus": {"bootstrap_servers": self.running.bootstrap},
            "keys": str(keys),
            "inbox": {"url": "sqlite:///inbox.sqlite", "key_file": "inbox.key"},
            "limits": {"tries": 2, "retry_seconds": 0.2},
            "adapter": {"hook": {"command": ["false"]}},
            "metrics_port": self.running.ports["agent"],
        }
        path = self.running.directory / "agent.yaml"
        path.write_text(yaml.safe_dump(file), "utf-8")
        self.running.start("agent", options=("--config", str(path)))

    def publish(self, *events: Mapping[str, Any], wait: bool = True) -> None:
        """Publish events as history, recorded and released; or live, without waiting."""
        self._published += 1
        path = self.running.directory / f"{self._published}.jsonl"
        file = write_events(path, events)
        completed = self.running.history(file) if wait else self.running.run("publish", str(file))
        assert completed.returncode == 0, completed.stderr

    def fires(self, name: str, **labels: str) -> bool:
        """Return whether an alert fires with at least these labels."""
        expected = {"alertname": name, **labels}
        return any(expected.items() <= alert.items() for alert in self.prometheus.firing())

    def assert_firing(self, *alerts: tuple[str, Labels], seconds: float = 60) -> None:
        """Wait until all of these alerts fire."""
        missing = lambda: [alert for alert in alerts if not self.fires(alert[0], **alert[1])]  # noqa: E731
        self._until("fires", missing, seconds)

    def assert_cleared(self, *alerts: tuple[str, Labels], seconds: float = 60) -> None:
        """Wait until none of these alerts fires."""
        still = lambda: [alert for alert in alerts if self.fires(alert[0], **alert[1])]  # noqa: E731
        self._until("clears", still, seconds)

    def fix(self, alert: str, **words: str) -> None:
        """Run the commands of the alert's runbook, with its words in capitals filled in."""
        for line in commands(alert):
            filled = re.sub(
                r"\b[A-Z]+\b", lambda word: shlex.quote(words.get(word[0], word[0])), line
            )
            _, *arguments = shlex.split(filled)
            if arguments[0] in ROLES:
                self.running.start(arguments[0])
                continue
            completed = self.running.run(*arguments)
            assert completed.returncode == 0, f"{filled}: {completed.stderr}"

    def metrics(self, role: str) -> str:
        """Return the metrics of a role, as Prometheus gets them."""
        with urlopen(f"http://127.0.0.1:{self.running.ports[role]}/metrics") as answer:
            text: str = answer.read().decode()
        return text

    def _until(
        self, what: str, pending: Callable[[], Sequence[tuple[str, Labels]]], seconds: float
    ) -> None:
        patience = Patience(seconds)
        while missing := pending():
            if patience.is_over:
                firing = sorted(alert["alertname"] for alert in self.prometheus.firing())
                last = {role: self.running.log(role)[-300:] for role in self.running.processes}
                raise AssertionError(f"not within {seconds} s: {what} {missing}; {firing}\n{last}")
            time.sleep(0.3)


def commands(alert: str) -> list[str]:
    """Return the commands of a runbook section."""
    section = RUNBOOKS.read_text("utf-8").split(f"\n## {alert}\n", 1)[1].split("\n## ", 1)[0]
    lines = [
        line
        for block in re.findall(r"```\n(.*?)```", section, re.DOTALL)
        for line in block.splitlines()
    ]
    assert lines, f"{alert} has no command"
    return lines


def configuration(directory: Path, ports: Mapping[str, int]) -> Path:
    """Return the repository's Prometheus rules, hastened, scraping these ports every second."""
    write_files(directory, files(TimeScale(divisor=HASTEN), lag=0))
    path = directory / "prometheus" / "prometheus.yml"
    document = yaml.safe_load(path.read_text("utf-8"))
    document["global"] = {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "1s",
    }
    jobs = {job["job_name"]: job for job in document["scrape_configs"]}
    document["scrape_configs"] = [
        jobs[f"termijn-{role}"] | {"static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for role, port in ports.items()
    ]
    path.write_text(yaml.safe_dump(document), "utf-8")
    return path
