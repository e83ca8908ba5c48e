"""Roles killed at random moments under traffic lose nothing and duplicate nothing."""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from services.events.sample_events import SOURCE, sample_events
from services.ledger.command_draft import CommandDraft
from services.policy.loader import load
from services.policy.tagged_event import ClockKey
from tests.chaos.killing import Killer
from tests.e2e.running import ROLES, Running, identities, write_events
from tests.members import MEMBERS
from tests.servers.kafka import KafkaCluster

COMPANIES = int(os.environ.get("TERMIJN_CHAOS_COMPANIES", "240"))
"""About 31 events each; 3,264 make 100,000."""
KILLS = 20
PARTS = 4
SEED = 7


@pytest.fixture
def running(
    fresh_kafka: KafkaCluster, postgres: Callable[[], str], tmp_path: Path
) -> Iterator[Running]:
    """All roles and the simulated systems, without an hourly cap."""
    running = Running(
        tmp_path,
        fresh_kafka.bootstrap,
        postgres(),
        TERMIJN_COMMANDS_PER_HOUR="0",
        TERMIJN_SURGE_FACTOR="0",
        TERMIJN_RETRY_SECONDS="15",
    )
    assert running.run("ledger", "migrate").returncode == 0
    running.start(*ROLES, "sample-systems")
    yield running
    running.end_all()


@pytest.mark.chaos
@pytest.mark.timeout(1500)
def test_events_count_once_whatever_is_killed(running: Running) -> None:
    """Every event is recorded once, and every due step commanded once and in the end acknowledged."""
    events = list(sample_events(load(), datetime.now(UTC), seed=SEED, companies=COMPANIES))
    order = random.Random(SEED)
    lines = [*events, *order.sample(events, len(events) // 100)]
    order.shuffle(lines)
    killer = Killer(
        running, SEED, choose=lambda r: r.choice(ROLES), restart=running.start, pause=(0.5, 3.0)
    )
    killer.start()
    for part in range(PARTS):
        file = write_events(running.directory / f"{part}.jsonl", lines[part::PARTS])
        published = running.history(file)
        assert published.returncode == 0, published.stderr
    killer.stop(KILLS)
    assert killer.kills >= KILLS
    theirs = f"source = '{SOURCE}'"  # and not the answers that the rights role publishes itself
    running.until(
        "every event is recorded",
        lambda: running.count("event", theirs) >= len(events),
        seconds=300,
    )
    recorded = running.query(f"SELECT source, id FROM event WHERE {theirs}")
    assert set(recorded) == identities(events)
    due = "next_due <= now() AND backfill IS NULL"
    running.until(
        "nothing is due",
        lambda: not running.count("record", due) + running.count("clock", due),
        300,
    )
    # A simulated system on a busy machine may store an event after its command to erase it: what is found
    # then is `reopened`, and commanded again.
    settled = (
        "state IN ('acknowledged', 'erased', 'attested', 'refused', 'cancelled', 'recalled',"
        " 'reopened')"
    )
    # The sample goes on falling due for a minute and a half; what was written first must be settled.
    running.until(
        "the systems have answered",
        lambda: (
            not running.count(
                "command", f"created_at < now() - interval '60 seconds' AND NOT ({settled})"
            )
        ),
        300,
    )
    causes = Counter(
        (record, *obligation, command.cause)
        for command, records, obligation in commands(running)
        for record in records
    )
    assert [cause for cause, number in causes.items() if number > 1] == []
    assert running.count("dead_letter") == 0


def commands(
    running: Running,
) -> Iterator[tuple[CommandDraft, tuple[UUID, ...], tuple[str, str]]]:
    """Yield every command that is not reopened, as it was drafted, with its records, system and step.

    How many privacy events there were is in no column: it is found as that from which the id follows.
    """
    rows = running.query(  # first, since the roles go on: the rest is then there for each of them
        "SELECT command_id, system, subject, action, step, seq, supersedes FROM command"
        " WHERE state <> 'reopened'"
    )
    clocks: defaultdict[UUID, list[tuple[str, UUID, int]]] = defaultdict(list)
    for command, clock, key, clock_id, epoch in running.query(
        "SELECT d.command_id, k.clock, k.key, clock_id, d.epoch"
        " FROM command_clock d JOIN clock k USING (clock_id)"
    ):
        clocks[command].append((str(ClockKey(clock=clock, key=key)), clock_id, epoch))
    records: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for command, record in running.query(f"SELECT command_id, record_id FROM {MEMBERS} member"):
        records[command].append(record)
    for command, system, subject, action, step, seq, supersedes in rows:
        drafts = (
            CommandDraft(
                system=system,
                subject=subject,
                action=action,
                step=step,
                rules=(),
                purposes=(),
                reason="",
                due_at=datetime.min.replace(tzinfo=UTC),
                not_before=None,
                erase_by=None,
                supersedes=supersedes,
                epochs=tuple(clocks[command]),
                records=tuple(records[command]),
                acts=acts,
            )
            for acts in range(1_000)
        )
        draft = next(draft for draft in drafts if draft.command_id(seq) == command)
        yield draft, draft.records, (system, step)
