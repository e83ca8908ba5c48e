"""A recorder and a deleter in one process, which kills itself at a named step, or is killed.

    python -m tests.chaos.ledger.victim LEDGER-URL FOLDER NOW [STEP]

FOLDER has `events.jsonl`, which is delivered from its first line at every start, and `bus.jsonl`, the
commands that were sent, each of which its system acknowledges with `done`. NOW is the virtual time.
STEP is a name below with a number, such as `relay:produced#2`: SIGKILL when that step is reached for
the second time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from services.deleter.acknowledgement import Acknowledgement, AcknowledgementMessage
from services.deleter.claim import claim_due
from services.deleter.dispatch import RetryPolicy, dispatch, lease
from services.deleter.message import CommandMessage
from services.deleter.paused_systems import PausedSystems
from services.deleter.settlement import apply_acknowledgement
from services.kafka.record_metadata import RecordMetadata
from services.ledger.recording import record
from services.policy import loader
from services.storage.database import Database, open_database
from tests.batches import message_of
from tests.contract.event_builders import arrival

T = TypeVar("T")

STEPS = (
    "record:before-commit",
    "record:after-commit",
    "claim:before-commit",
    "claim:after-commit",
    "lease:before-commit",
    "lease:after-commit",
    "relay:produced",
    "relay:before-commit",
    "relay:after-commit",
    "settle:before-commit",
    "settle:after-commit",
)
_BATCH, _CLAIM, _LEASE = 30, 20, 4


class Death:
    """The step at which this process kills itself."""

    def __init__(self, step: str | None) -> None:
        self._step, _, times = (step or "").partition("#")
        self._times = int(times or 1)
        self._reached: Counter[str] = Counter()

    def at(self, step: str) -> None:
        """Kill this process if this is the chosen step."""
        self._reached[step] += 1
        if step == self._step and self._reached[step] == self._times:
            os.kill(os.getpid(), signal.SIGKILL)


class FileBus:
    """Commands as lines of a file, on disk before they are reported as delivered."""

    def __init__(self, path: Path, death: Death) -> None:
        self._path = path
        self._death = death

    def send(self, commands: Sequence[CommandMessage]) -> Sequence[RecordMetadata]:
        """Append, flush, sync."""
        with self._path.open("a", encoding="utf-8") as file:
            for command in commands:
                file.write(
                    json.dumps({"system": command.system, **command.value}, default=str) + "\n"
                )
            file.flush()
            os.fsync(file.fileno())
        self._death.at("relay:produced")
        return [
            RecordMetadata(topic="bus", partition=0, offset=number)
            for number in range(len(commands))
        ]


def run(ledger: Database, folder: Path, now: datetime, death: Death) -> None:
    """Deliver every event, command what is due, send the commands, and record each acknowledgement."""
    policy = loader.load()
    bus = FileBus(folder / "bus.jsonl", death)

    def step(name: str, work: Callable[[Connection], T]) -> T:
        def and_maybe_die(connection: Connection) -> T:
            done = work(connection)
            death.at(f"{name}:before-commit")
            return done

        result = ledger.run_in_transaction(and_maybe_die)
        death.at(f"{name}:after-commit")
        return result

    lines = (folder / "events.jsonl").read_text("utf-8").splitlines()
    arrivals = [arrival(json.loads(line), policy) for line in lines]
    for start in range(0, len(arrivals), _BATCH):
        batch = arrivals[start : start + _BATCH]
        step("record", lambda c, b=batch: record(c, b, policy, now))  # type: ignore[misc]
    while step("claim", lambda c: claim_due(c, policy, now, limit=_CLAIM)).scanned:
        pass
    while True:
        leased = step("lease", lambda c: lease(c, now, PausedSystems(), limit=_LEASE))
        if not leased:
            break
        step("relay", lambda c, ids=leased: dispatch(c, ids, bus, policy, now, RetryPolicy()))  # type: ignore[misc]
    for command in read_commands(folder):
        step("settle", lambda c, o=command: apply_acknowledgement(c, _answer(o, now), policy, now))  # type: ignore[misc]


def read_commands(folder: Path) -> list[dict[str, Any]]:
    """Return the commands in the file; a line that the kill truncated was never delivered."""
    path = folder / "bus.jsonl"
    text = path.read_text("utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _answer(command: dict[str, Any], now: datetime) -> AcknowledgementMessage:
    done = Acknowledgement(
        command_id=UUID(command["command_id"]),
        system=command["system"],
        attempt=command["attempt"],
        status="done",
        counts={},
        ground=None,
        at=now,
    )
    return message_of(done, f"{command['command_id']}/{command['attempt']}")


def main() -> None:
    """Run, and print when the work begins and that its end was reached."""
    url, folder, now, *step = sys.argv[1:]
    print("begun", flush=True)
    with closing(open_database(url)) as ledger:
        run(ledger, Path(folder), datetime.fromisoformat(now), Death(step[0] if step else None))
    print("alive")


if __name__ == "__main__":
    main()
