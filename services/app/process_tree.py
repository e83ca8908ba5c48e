"""A tree of role processes: started together, monitored, and stopped together."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from schemas.errors import TermijnError
from services.storage.files import private_opener

_EXIT_TIMEOUT = 20.0


class RoleExited(TermijnError):
    """A role's process exited unexpectedly; the others were stopped with it.

    The operator reads its last log line, fixes the cause and starts again: nothing is lost.
    """

    def __init__(self, role: str, code: int, last_words: str) -> None:
        super().__init__(f"{role} exited with code {code}: {last_words}")
        self.role = role
        self.code = code


_PR_SET_PDEATHSIG = 1


@cache
def _load_libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies, however it dies."""
    _load_libc().prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChildProcess:
    role: str
    process: subprocess.Popen[bytes]
    log: Path
    output: IO[bytes]


class ProcessTree:
    """Role processes that live no longer than the `with` block; each logs to a file of its own."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._children: list[_ChildProcess] = []

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def start(self, role: str, *arguments: str) -> None:
        """Start `termijn ROLE ARGUMENTS` as a child."""
        log = self._logs / f"{role}.log"
        output = open(log, "ab", opener=private_opener)  # noqa: SIM115  # `Path` takes none
        _load_libc()  # loaded before the fork: the child may only make system calls
        process = subprocess.Popen(
            [sys.executable, "-m", "services.app.cli", role, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  # one system call and nothing else
            start_new_session=True,  # Ctrl-C reaches the parent, which ends its children in order
        )
        self._children.append(_ChildProcess(role=role, process=process, log=log, output=output))

    def roles(self) -> Sequence[str]:
        """The roles that were started."""
        return [child.role for child in self._children]

    def check(self) -> None:
        """Check that every child is alive.

        Raises:
            RoleExited: naming the first that is not, with the last line that it logged.
        """
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                lines = child.log.read_text("utf-8", "replace").strip().splitlines()
                raise RoleExited(child.role, code, lines[-1] if lines else "it logged nothing")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in self._children:
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        for child in self._children:
            try:
                child.process.wait(_EXIT_TIMEOUT)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            child.output.close()
