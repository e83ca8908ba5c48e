"""Roles killed at random moments under traffic lose nothing and duplicate nothing."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.events.sample_events import SOURCE, sample_events
from services.policy.loader import load
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
    doubled = f"""SELECT m.record_id FROM {MEMBERS} m JOIN command c USING (command_id)
        WHERE c.state <> 'reopened'
        GROUP BY m.record_id, m.system, m.step, c.epoch HAVING count(*) > 1"""
    assert running.query(doubled) == []
    assert running.count("dead_letter") == 0
