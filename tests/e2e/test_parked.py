"""Parked events on real Kafka and PostgreSQL block what they could forbid, and are not recorded."""

from __future__ import annotations

import json

from services.kafka.client import KafkaClient
from services.kafka.producer import OutgoingMessage
from tests.e2e.running import ROLES, Running, business_event, write_events

HOLDS = "privacy.hold-placed.v1"
OLD = "2020-03-15T13:00:00Z"
FEEDBACK = "website.feedback-given"


def garbage(running: Running) -> None:
    """Publish a message that no role can read on the topic of legal holds."""
    message = OutgoingMessage(topic=HOLDS, key=b"k", value=b"\xff no Avro")
    KafkaClient(running.bootstrap).open_producer().send([message])


def kept_back(running: Running) -> list[tuple[str, int]]:
    """Return what the status reports as blocked by it."""
    what = "parked events that keep erasures back"
    return [
        (row["which"], row["value"]) for row in running.run_json("status") if row["what"] == what
    ]


def test_an_unreadable_hold_stops_all_erasures_until_it_is_settled(
    running: Running,
) -> None:
    """It is parked before anything is due; once a named operator discards it, every erasure leaves."""
    running.start(*ROLES, "sample-systems")
    events = [
        business_event("f1", FEEDBACK, OLD, feedback_id="f1", visitor_id="1"),
        business_event("f2", FEEDBACK, OLD, feedback_id="f2", visitor_id="2"),
    ]
    file = write_events(running.directory / "e.jsonl", events)
    completed = running.run("publish", "--backfill", "--name", "history", str(file))
    assert completed.returncode == 0, completed.stderr
    garbage(running)
    running.until("it is parked", lambda: running.count("parked_event") == 1)
    assert running.run("backfill", "release", "history").returncode == 0
    looked = "SELECT count(*) FROM record WHERE next_due > now() AND backfill IS NULL"
    running.until("both were looked at", lambda: running.query(looked) == [(2,)])
    assert running.count("command") == 0
    assert kept_back(running) == [("everything", 1)]
    [letter] = running.run_json("dead-letters", "list")
    assert (letter["topic"], letter["keeps_back"]) == (HOLDS, "everything")
    completed = running.run("dead-letters", "discard", letter["id"], "--reason", "nobody's")
    assert completed.returncode == 0, completed.stderr
    assert kept_back(running) == []
    erased = "action = 'erase' AND state = 'erased'"
    running.until("both are gone", lambda: running.count("command", erased) == 2, 150)


def test_publishing_fails_where_an_event_was_parked(running: Running) -> None:
    """Both events were read, but one is parked, so that `publish --wait` must not report success."""
    running.start("tagger", "recorder")
    first = business_event("f1", FEEDBACK, "2026-03-15T13:00:00Z", feedback_id="f1", visitor_id="1")
    good = write_events(running.directory / "good.jsonl", [first])
    assert running.run("publish", "--wait", str(good)).returncode == 0
    other = {**json.loads(good.read_text("utf-8")), "time": "2026-03-15T13:00:01Z"}
    second = {**other, "id": "f2"}
    bad = write_events(running.directory / "bad.jsonl", [other, second])
    completed = running.run("publish", "--wait", str(bad))
    assert completed.returncode == 1
    assert (
        "1 of 2 events were parked, not recorded: see `termijn dead-letters list`"
        in completed.stderr
    )
    assert running.count("event") == 2
    assert running.run("publish", "--wait", str(good)).returncode == 0
