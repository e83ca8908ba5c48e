"""Server processes on loopback that log to a file and end with the process that started them."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from schemas.errors import TermijnError

_LOG_TAIL_BYTES = 2000


class ServerMissing(TermijnError):
    """A server that a test or benchmark needs is not installed; `make servers` installs it."""


class ServerFailed(TermijnError):
    """A server ended or did not answer; the message contains the end of its log."""

    def __init__(self, what: str, log: Path) -> None:
        tail = log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace") if log.exists() else ""
        super().__init__(f"{what}; the end of {log}:\n{tail}")


class ServerProcess:
    """One process in a group of its own, ended at the latest when the starting process ends."""

    def __init__(self, command: Sequence[str], *, log: Path, farewell: signal.Signals) -> None:
        """Start `command`; `farewell` is the signal that the kernel sends it when the starter is killed.

        Start it from the main thread: the kernel sends the signal when the starting thread ends.
        """
        # Without setpriv (Linux only) a killed run leaves its server behind: atexit does not run.
        setpriv = shutil.which("setpriv")
        if setpriv and command[0] != setpriv:
            command = [setpriv, "--pdeathsig", farewell.name.removeprefix("SIG"), *command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.log = log
        atexit.register(self.end, signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Return the process id of the group's leader."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def end(self, number: signal.Signals, patience: float = 20) -> None:
        """Send the group's leader a signal, wait `patience` seconds, then kill the group."""
        atexit.unregister(self.end)
        if not self.alive:
            return
        if number is signal.SIGKILL:
            self.send(number)
        else:
            self._process.send_signal(number)
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self._process.wait()


def free_ports(count: int) -> list[int]:
    """Return this many different free ports on loopback."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def executable(name: str, *, package: str) -> str:
    """Return a program's path, or raise ServerMissing with the Debian package that contains it."""
    path = shutil.which(name)
    if path is None:
        raise ServerMissing(
            f"{name} is not installed (Debian package {package}); run `make servers`"
        )
    return path
