"""The hook adapter: runs an executable of the team, in any language, for each command.

It gets `{"command": {…}, "run": 1}` on stdin (and `corrections` for rectify) and writes its result as one
JSON object on stdout; with `batch: true` a run carries out many commands (`shared_calls`). Exit code 0: the
result is complete. 75 (EX_TEMPFAIL), any other code, or no result in time: the outcome is not known, and
the same command comes again, with a higher `run`.

When the program ends, everything in its process group is killed.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from services.agent.adapters.base import CommandTask, Outcome, Reply, SaveCheckpoints
from services.agent.adapters.payload import command_payload
from services.agent.adapters.shared_calls import (
    BATCHED,
    commands_payload,
    execute_in_calls,
    parse_results,
)
from services.agent.result import MAX_RESULT_BYTES, Result, RetryLater, TooLarge, parse_result_json

TRY_AGAIN = 75
_POLL_SECONDS = 0.02
_CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class HookAdapter:
    """Runs one executable."""

    command: tuple[str, ...]
    directory: Path
    """Its working directory."""
    timeout_seconds: float
    environment: Mapping[str, str] = field(repr=False)
    """The whole environment of the hook."""
    batch: bool = False
    """Whether one run carries out many commands."""

    def execute(self, task: CommandTask) -> Result:
        """Run the hook and return its result; stderr is dropped. Raises `RetryLater`, `InvalidResult`."""
        if self.is_batched(task.command.action):
            [reply] = self._run_for([task])
            if isinstance(reply, Exception):
                raise reply
            return reply
        output = self._run(command_payload(task), {"TRACEPARENT": task.trace.parent})
        return parse_result_json(output, task.command.action)

    def is_batched(self, action: str) -> bool:
        """Return whether one run may carry out several commands with an action."""
        return self.batch and action in BATCHED

    def execute_together(
        self, tasks: Sequence[CommandTask], _: SaveCheckpoints
    ) -> Sequence[Outcome]:
        """Run the hook for many commands; where it fails, all of them come again."""
        return execute_in_calls(tasks, self._run_for)

    def _run_for(self, tasks: Sequence[CommandTask]) -> Sequence[Reply]:
        return parse_results(self._run(commands_payload(tasks), {}), tasks)

    def _run(self, request: bytes, further: Mapping[str, str]) -> bytes:
        """Run the hook, with `further` environment variables, and return its output."""
        try:
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # it may have personal data, which must not be logged
                env={**self.environment, **further},
                cwd=self.directory,
                start_new_session=True,  # so that its children can be killed with it
            )
        except OSError as cause:
            raise RetryLater(f"the hook cannot be started ({type(cause).__name__})") from cause
        with process:
            try:
                output = _communicate(process, request, self.timeout_seconds)
            except TimeoutError as cause:
                reason = f"the hook did not end within {self.timeout_seconds:g} s"
                raise RetryLater(reason) from cause
            finally:
                _end(process)
        if process.returncode == TRY_AGAIN:
            raise RetryLater("the hook asks to be run again")
        if process.returncode != 0:
            raise RetryLater(f"the hook ended with exit code {process.returncode}")
        return output


def _communicate(process: subprocess.Popen[bytes], request: bytes, seconds: float) -> bytes:
    """Send the request and return the output once the program ends, even if a child holds the pipe open.

    Raises:
        TimeoutError: it has not ended in time.
        TooLarge: its output is larger than a result may be.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    deadline, unwritten, output = monotonic() + seconds, memoryview(request), bytearray()
    with selectors.DefaultSelector() as ready:
        for pipe, events in (
            (process.stdin, selectors.EVENT_WRITE),
            (process.stdout, selectors.EVENT_READ),
        ):
            os.set_blocking(pipe.fileno(), False)
            ready.register(pipe, events)
        while True:
            ended = (
                process.poll() is not None
            )  # before reading: then the pipe has all of its output
            before = len(output)
            for key, _ in ready.select(0 if ended else _POLL_SECONDS):
                if key.fileobj is process.stdout:
                    if not (piece := os.read(key.fd, _CHUNK_BYTES)):
                        ready.unregister(process.stdout)
                    output += piece
                    continue
                try:
                    unwritten = unwritten[os.write(key.fd, unwritten[:_CHUNK_BYTES]) :]
                except BrokenPipeError:  # the hook does not read its input
                    unwritten = unwritten[:0]
                if not unwritten:
                    ready.unregister(process.stdin)
                    process.stdin.close()
            if len(output) > MAX_RESULT_BYTES:
                raise TooLarge
            if ended and len(output) == before:
                return bytes(output)
            if monotonic() > deadline:
                raise TimeoutError


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
