"""How the systems fare, from what is known of commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.operations.watch.sightings import WatchedCommand
from services.operations.watch.summary import RecentCounts, WatchSummary, is_expired, summarize

NOW = datetime(2026, 3, 15, 13, tzinfo=UTC)


def outstanding_command(seconds: float, action: str = "erase", **further: object) -> WatchedCommand:
    """A command that left so long ago."""
    sent_at = NOW - timedelta(seconds=seconds)
    return WatchedCommand(system="crm", action=action, sent_at=sent_at, **further)  # type: ignore[arg-type]


def test_outstanding_commands_are_counted_by_action_with_the_oldest() -> None:
    """Acknowledged ones are not outstanding; those that failed so far are."""
    watched = [
        outstanding_command(10),
        outstanding_command(30, failed_at=NOW),
        outstanding_command(20, "verify"),
        outstanding_command(99, answered_at=NOW, status="done"),
        WatchedCommand(system="crm", answered_at=NOW, status="done"),
    ]
    summary = summarize(["crm", "psp"], watched, {}, NOW)
    assert summary["crm"].outstanding == {"erase": 2, "verify": 1}
    assert summary["crm"].failing == 1
    assert summary["crm"].oldest_seconds == 30.0
    assert summary["psp"].outstanding == {}
    assert summary["psp"].oldest_seconds == 0.0


def test_the_summary_has_rates_over_five_minutes() -> None:
    """300 seconds; without answers the mean is absent."""
    recent = RecentCounts(sent=30, answered=15, refused=1, failed=2, took_seconds=45.0)
    summary = summarize(["crm", "psp"], [outstanding_command(1)], {"crm": recent}, NOW)
    document = WatchSummary(at=NOW, partitions=(0, 2), partition_count=6, systems=summary).as_json()
    assert document["at"] == "2026-03-15T13:00:00Z"
    assert document["partitions"] == [0, 2]
    assert document["of_partitions"] == 6
    assert document["window_seconds"] == 300.0
    assert document["systems"]["crm"] == {
        "outstanding": 1,
        "outstanding_by_action": {"erase": 1},
        "failing": 0,
        "oldest_outstanding_seconds": 1.0,
        "commands_per_second": 0.1,
        "answers_per_second": 0.05,
        "mean_answer_seconds": 3.0,
        "refused": 1,
        "failed": 2,
    }
    assert document["systems"]["psp"]["mean_answer_seconds"] is None


@pytest.mark.parametrize(
    ("watched", "expected"),
    [
        (outstanding_command(15 * 86_400), True),
        (outstanding_command(13 * 86_400), False),
        (outstanding_command(90_000, answered_at=NOW - timedelta(hours=25), status="done"), True),
        (outstanding_command(90_000, answered_at=NOW - timedelta(hours=23), status="done"), False),
        (WatchedCommand(system="crm", failed_at=NOW - timedelta(days=15)), True),
    ],
)
def test_completed_commands_are_dropped_from_the_watch(
    watched: WatchedCommand, expected: bool
) -> None:
    """A day after the answer, or two weeks after a command that was not answered."""
    assert is_expired(watched, NOW) is expected
