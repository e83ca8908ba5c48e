"""A role as in production, in a process of its own, and the CPU and memory that it has used."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from services.app.settings_loader import environment


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceUsage:
    """What a process has used so far."""

    cpu_seconds: float
    """Of all its threads, user and system."""
    resident_bytes: int


class Program:
    """A program in a process of its own, started at once; a context manager that ends it."""

    def __init__(self, command: Sequence[str], settings: Mapping[str, str], log: Path) -> None:
        """Start it; its output goes to the file `log`, and `write_line` may send it one line."""
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env={**environment(), **settings},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.log = log
        self._seen = psutil.Process(self._process.pid)

    def write_line(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    @property
    def alive(self) -> bool:
        """Return whether it still runs."""
        return self._process.poll() is None

    def used(self) -> ResourceUsage:
        """Return what it has used since its start; a difference of two is the cost of the work between."""
        with self._seen.oneshot():
            times, memory = self._seen.cpu_times(), self._seen.memory_info()
        return ResourceUsage(cpu_seconds=times.user + times.system, resident_bytes=memory.rss)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        cause: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        if self._process.stdin is not None:
            self._process.stdin.close()


class Role(Program):
    """The role `termijn ROLE` with some settings."""

    def __init__(self, name: str, settings: Mapping[str, str], log: Path) -> None:
        """Start it; its output goes to the file `log`."""
        command = [sys.executable, "-m", "services.app.cli", name]
        super().__init__(command, {"TERMIJN_LOG": "json", **settings}, log)
