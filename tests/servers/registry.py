"""A real schema registry on loopback: Apicurio Registry in memory, through its Confluent-compatible API."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.patience import Patience
from tests.servers.processes import ServerFailed, ServerMissing, ServerProcess, free_ports

HOME = Path(__file__).resolve().parents[2] / ".cache" / "apicurio"
_PATIENCE_SECONDS = 90.0


class RegistryServer:
    """A registry started by the tests, which ends with its starter and stores nothing on disk."""

    def __init__(self, directory: Path, *, heap: str = "384m") -> None:
        """Set the directory of its log; `start` starts the registry.

        Raises:
            ServerMissing: the registry is not installed.
        """
        if not (HOME / "versions").exists():
            raise ServerMissing("Apicurio Registry is not in .cache/apicurio; run `make servers`")
        http, management = free_ports(2)
        self.log = directory / "registry.log"
        self._root = f"http://127.0.0.1:{http}"
        self.url = f"{self._root}/apis/ccompat/v7"
        """What SCHEMA_REGISTRY_URL is set to."""
        self._command = [
            str(HOME / "java" / "bin" / "java"),
            f"-Xmx{heap}",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",  # starts sooner, and a test's registry does not live long
            "-Dquarkus.http.host=127.0.0.1",
            f"-Dquarkus.http.port={http}",
            "-Dquarkus.management.host=127.0.0.1",
            f"-Dquarkus.management.port={management}",
            "-Dquarkus.otel.sdk.disabled=true",
            "-jar",
            str(HOME / "app" / "quarkus-run.jar"),
        ]
        self._process: ServerProcess | None = None

    def start(self) -> None:
        """Start the registry; return when it answers.

        Raises:
            ServerFailed: the registry ended, or did not answer within a minute and a half.
        """
        self._process = ServerProcess(self._command, log=self.log, farewell=signal.SIGKILL)
        patience = Patience(_PATIENCE_SECONDS)
        while not self._answers():
            if not self._process.alive:
                raise ServerFailed("Apicurio Registry ended", self.log)
            if patience.is_over:
                why = f"Apicurio Registry was silent for {_PATIENCE_SECONDS:.0f} s"
                raise ServerFailed(why, self.log)
            time.sleep(0.1)

    def stop(self) -> None:
        """Kill the registry at once, which loses nothing since it stores nothing on disk."""
        if self._process is not None:
            self._process.end(signal.SIGKILL)

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/subjects", timeout=60) as answer:
                return isinstance(json.load(answer), list)
        except (URLError, OSError, ValueError):
            return False
