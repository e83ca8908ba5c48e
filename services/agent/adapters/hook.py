"""The hook: an executable of the team's own, in any language.

It gets `{"command": {…}, "run": 1}` on stdin (and `corrections` for rectify) and writes its result as one
JSON object on stdout. Exit code 0: the result is there. 75 (EX_TEMPFAIL), any other code, or no answer in
time: nothing is known of the outcome, and the same command comes again, with a higher `run`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from services.agent.adapters.ports import Task
from services.agent.adapters.wire import wire
from services.agent.results import BadResult, Result, TryAgain, result_of

TRY_AGAIN = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class HookAdapter:
    """One executable."""

    command: tuple[str, ...]
    directory: Path
    """Where it runs."""
    timeout_seconds: float
    environment: Mapping[str, str] = field(repr=False)
    """All that the hook finds in its environment."""

    def carry_out(self, task: Task) -> Result:
        """Run the hook. Raises `TryAgain` and `BadResult`; what it says on stderr is thrown away."""
        try:
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # it may name people, and a log must not
                env={**self.environment, "TRACEPARENT": task.trace.parent},
                cwd=self.directory,
                start_new_session=True,  # what it starts ends with it when its time is over
            )
        except OSError as cause:
            raise TryAgain(f"the hook cannot be started ({type(cause).__name__})") from cause
        with process:
            try:
                output, _ = process.communicate(wire(task), self.timeout_seconds)
            except subprocess.TimeoutExpired as cause:
                _end(process)
                why = f"the hook gave no answer in {self.timeout_seconds:g} s"
                raise TryAgain(why) from cause
            except BaseException:
                _end(process)
                raise
        if process.returncode == TRY_AGAIN:
            raise TryAgain("the hook asks for another try")
        if process.returncode != 0:
            raise TryAgain(f"the hook ended with exit code {process.returncode}")
        try:
            document = json.loads(output)
        except ValueError as cause:
            raise BadResult("it is no JSON") from cause
        return result_of(document, task.command.action)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
