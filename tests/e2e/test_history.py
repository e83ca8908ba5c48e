"""A live event with an old time leads to no erasure before a person has checked it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.cloudevents import format_rfc3339
from tests.e2e.running import ROLES, Running, business_event, write_events

NOW = datetime.now(UTC).replace(microsecond=0)
FORGED = business_event(
    "forged",
    "orders.order-placed",
    "2000-01-01T00:00:00Z",
    customer_id="C1",
    order_id="O1",
    consumer_id="nobody",
    amount="12.50",
    payment={"method": "ideal"},
)
"""It has the order id of another consumer, whose order is of today."""


def today(id: str, type: str, **data: str) -> dict[str, object]:
    return business_event(id, type, format_rfc3339(NOW - timedelta(minutes=1)), **data)


def published(running: Running, name: str, *events: dict[str, object]) -> None:
    file = write_events(running.directory / f"{name}.jsonl", events)
    completed = running.run("publish", "--wait", str(file))
    assert completed.returncode == 0, completed.stderr


def commands_sent(running: Running, subject: str) -> set[tuple[str, str]]:
    """Return the systems and actions of the commands that were sent about a subject."""
    query = f"SELECT system, action FROM command WHERE attempt > 0 AND subject = '{subject}'"
    return {(system, action) for system, action in running.query(query)}


def waits(running: Running) -> dict[str, int]:
    rows = running.run_json("status")
    return {row["which"]: row["value"] for row in rows if row["what"] == "history waits"}


def test_an_old_order_of_today_leads_to_no_command_until_it_is_released(
    running: Running,
) -> None:
    """A later objection's commands leave first, which shows that the old order was not merely slow."""
    running.start(*ROLES)
    published(running, "forged", FORGED)
    published(
        running,
        "later",
        today("lead", "acquisition.lead-acquired", prospect_id="P1", source="fair"),
        today(
            "objection",
            "privacy.objection-raised",
            subject="prospect:P1",
            purpose="acquisition",
            objection_id="B1",
        ),
    )
    running.until(
        "the objection is carried out",
        lambda: ("crm", "erase") in commands_sent(running, "prospect:P1"),
    )
    assert commands_sent(running, "consumer:nobody") == set()
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    [(group, records)] = waits(running).items()
    assert (group, records) == (f"live-history/{day}/orders.order-placed", 1)
    forecast = running.run_json("backfill", "forecast", group)
    assert {(backfill["system"], backfill["action"]) for backfill in forecast} == {
        ("orders", "erase"),
        ("psp", "erase"),
        ("accounting", "erase"),
        ("research", "erase"),
    }
    assert running.run("backfill", "release", group).returncode == 0
    running.until(
        "it leaves now", lambda: len(commands_sent(running, "consumer:nobody")) == len(forecast)
    )
    assert waits(running) == {}
