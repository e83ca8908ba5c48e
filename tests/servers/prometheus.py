"""A real Prometheus on loopback, with a configuration that the test writes."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.patience import Patience
from tests.servers.processes import ServerFailed, ServerProcess, executable, free_ports

_PATIENCE_SECONDS = 30.0
_CALL_SECONDS = 60.0


class PrometheusServer:
    """A server started by the tests, which ends with the process that started it."""

    def __init__(self, directory: Path) -> None:
        """Set the directory of its data; `start` starts the server.

        Raises:
            ServerMissing: Prometheus is not installed.
        """
        self._program = executable("prometheus", package="prometheus")
        self._directory = directory
        (self._port,) = free_ports(1)
        self._process: ServerProcess | None = None
        self.log = directory / "prometheus.log"

    def start(self, configuration: Path) -> None:
        """Start the server with a configuration; return when it is ready.

        Raises:
            ServerFailed: the server ended, or was not ready within half a minute.
        """
        self._process = ServerProcess(
            [
                self._program,
                f"--config.file={configuration}",
                f"--storage.tsdb.path={self._directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            log=self.log,
            farewell=signal.SIGKILL,
        )
        patience = Patience(_PATIENCE_SECONDS)
        while not self._is_ready():
            if not self._process.alive:
                raise ServerFailed("Prometheus ended", self.log)
            if patience.is_over:
                raise ServerFailed(f"Prometheus was silent for {_PATIENCE_SECONDS:.0f} s", self.log)
            time.sleep(0.05)

    def stop(self) -> None:
        """Shut the server down cleanly."""
        if self._process is not None:
            self._process.end(signal.SIGTERM)

    def firing(self) -> Sequence[Mapping[str, str]]:
        """Return the labels of the alerts that are firing."""
        return [
            alert["labels"]
            for alert in self._get("/api/v1/alerts")["data"]["alerts"]
            if alert["state"] == "firing"
        ]

    def query(self, expr: str) -> Sequence[tuple[Mapping[str, str], float]]:
        """Return the current values of an expression's series, by their labels."""
        result = self._get("/api/v1/query", query=expr)["data"]["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def rule_errors(self) -> Sequence[str]:
        """Return the errors that kept rules from being evaluated."""
        groups = self._get("/api/v1/rules")["data"]["groups"]
        return [
            f"{rule['name']}: {rule['lastError']}"
            for group in groups
            for rule in group["rules"]
            if rule.get("lastError")
        ]

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=1):
                return True
        except (URLError, OSError):
            return False

    def _get(self, path: str, **parameters: str) -> Any:
        address = f"http://127.0.0.1:{self._port}{path}?{urlencode(parameters)}"
        with urlopen(address, timeout=_CALL_SECONDS) as answer:
            return json.load(answer)
