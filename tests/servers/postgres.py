"""A real PostgreSQL on loopback, with a data directory of its own and fsync on."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from tests.patience import Patience
from tests.servers.processes import (
    ServerFailed,
    ServerMissing,
    ServerProcess,
    executable,
    free_ports,
)

_DEBIAN = Path("/usr/lib/postgresql")
_ROLE = "termijn"
_PATIENCE_SECONDS = 30.0


class PostgresServer:
    """A server started by the tests; it keeps its port and its data over `kill` and `start`."""

    def __init__(self) -> None:
        """Make a data directory; `start` starts the server, `remove` deletes the directory.

        PostgreSQL refuses root, so root runs it as the user `postgres` or `nobody`.

        Raises:
            ServerMissing: PostgreSQL is not installed, or root has no setpriv.
        """
        self._programs = _programs()
        self._prefix = _as_another_user()
        # Not pytest's tmp_path: only the user who runs the tests may enter that one.
        self._directory = Path(tempfile.mkdtemp(prefix="termijn-postgres-"))
        if os.geteuid() == 0:
            owner = _server_user()
            os.chown(self._directory, owner.pw_uid, owner.pw_gid)
        (self._port,) = free_ports(1)
        self._numbers = itertools.count(1)
        self._process: ServerProcess | None = None
        self.data = self._directory / "data"
        self.log = self._directory / "server.log"
        self._initialise()

    def _initialise(self) -> None:
        initialised = subprocess.run(
            [
                *self._prefix,
                str(self._programs / "initdb"),
                f"--pgdata={self.data}",
                f"--username={_ROLE}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            check=False,
            capture_output=True,
            cwd=self._directory,
        )
        self.log.write_bytes(initialised.stdout + initialised.stderr)
        if initialised.returncode:
            raise ServerFailed("initdb failed", self.log)

    def start(self) -> None:
        """Start the server, also after `stop` or `kill`; return when it accepts connections.

        Raises:
            ServerFailed: the server ended, or did not answer within half a minute.
        """
        self._process = ServerProcess(
            [
                *self._prefix,
                str(self._programs / "postgres"),
                f"-D{self.data}",
                f"-p{self._port}",
                "-clisten_addresses=127.0.0.1",
                "-cunix_socket_directories=",
                "-cmax_connections=200",
            ],
            log=self.log,
            farewell=signal.SIGQUIT,
        )
        patience = Patience(_PATIENCE_SECONDS)
        while not self._answers():
            if not self._process.alive:
                raise ServerFailed("PostgreSQL ended", self.log)
            if patience.is_over:
                raise ServerFailed(f"PostgreSQL was silent for {_PATIENCE_SECONDS:.0f} s", self.log)
            time.sleep(0.05)

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host="127.0.0.1", port=self._port, user=_ROLE, dbname="postgres", autocommit=True
        )

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def fresh_database(self) -> str:
        """Create an empty database and return its `postgresql+psycopg://` URL."""
        name = f"test_{next(self._numbers)}"
        with self._connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"postgresql+psycopg://{_ROLE}@127.0.0.1:{self._port}/{name}"

    def cpu_seconds(self) -> float:
        """Return the processor time of the server so far, of all its processes, also of ended ones."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        own = server.cpu_times()
        ended = own.children_user + own.children_system
        running = [process.cpu_times() for process in (server, *server.children(recursive=True))]
        return float(ended + sum(times.user + times.system for times in running))

    def stop(self) -> None:
        """Shut the server down and close open sessions (SIGINT, PostgreSQL's fast shutdown)."""
        if self._process is not None:
            self._process.end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server at once, nothing flushed, no session ended: the next start recovers from the log.

        The signal is SIGQUIT. After SIGKILL the sessions, which are in process groups of their own,
        would outlive the server for a moment and keep the next one from starting.
        """
        if self._process is not None:
            self._process.end(signal.SIGQUIT)

    def remove(self) -> None:
        """Kill the server if it runs and delete its data."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


def _programs() -> Path:
    """Return the folder of the newest PostgreSQL's programs; Debian does not put it on the PATH."""
    if on_path := shutil.which("initdb"):
        return Path(on_path).parent
    versions = [path for path in _DEBIAN.glob("*/bin") if (path / "initdb").exists()]
    if not versions:
        raise ServerMissing("PostgreSQL is not installed; run `make servers`")
    return max(versions, key=lambda path: float(path.parent.name))


def _server_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _as_another_user() -> list[str]:
    """Return the command's prefix that keeps root from running it; empty for any other user."""
    if os.geteuid() != 0:
        return []
    owner = _server_user()
    return [
        executable("setpriv", package="util-linux"),
        f"--reuid={owner.pw_uid}",
        f"--regid={owner.pw_gid}",
        "--init-groups",
        # Changing the user clears the parent-death signal, so it is set here and not around this.
        "--pdeathsig=QUIT",
    ]
