"""`termijn publish --dry-run`: a check of the contract in a publisher's own tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.codec import Codec
from schemas.schema_files import load as load_schemas
from schemas.topics import business_topic
from services.events.event_file import InvalidEventLine
from services.events.publisher import Publisher
from services.kafka.producer import OutgoingMessage
from services.kafka.record_metadata import RecordMetadata
from services.policy import loader
from tests.contract.event_builders import event, feedback
from tests.unit.cli.conftest import Call, Outcome, Write

ORDER = event(
    "o1",
    "orders.order-placed",
    "2024-03-15T13:00:00Z",
    order_id="O1",
    customer_id="C1",
    consumer_id="K1",
    amount="12.50",
    payment={"method": "ideal"},
)

OLD = "1955-03-15T13:00:00Z"


def rows(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """The lines of `--json`, also where something was refused."""
    yield from map(json.loads, outcome.out.splitlines())


def test_a_dry_run_shows_what_would_be_recorded_and_its_windows(
    termijn: Call, events: Write
) -> None:
    """Purposes, systems and windows as the tagger publishes them; no broker is needed."""
    [row] = termijn("publish", events([ORDER]), "--dry-run", "--json").rows
    assert (row["line"], row["event"], row["subject"]) == (1, "o1", "consumer:K1")
    assert (row["outcome"], row["reason"], row["key"]) == ("recorded", None, None)
    assert [holding["rule"] for holding in row["holdings"]] == ["D4", "R5", "R4"]
    assert row["holdings"][1] == {
        "subject": "consumer:K1",
        "purpose": "legal_compliance",
        "basis": "legal_obligation",
        "rule": "R5",
        "systems": ["accounting"],
        "anchor": "book-year",
        "anchor_at": "2024-12-31T23:00:00Z",
        "anchors": [],
        "not_before": "2031-12-31T23:00:00Z",
        "erase_by": "2032-01-01T23:00:00Z",
        "due_at": {"accounting": "2031-12-31T23:00:00Z"},
    }


def test_the_table_shows_purposes_and_when_they_end(termijn: Call, events: Write) -> None:
    """The table is for people who read along."""
    result = termijn("publish", events([ORDER]), "--dry-run")
    assert (result.code, result.err) == (0, "")
    assert "service_delivery (D4, gone by 2026-03-15)" in result.out


def test_a_dry_run_shows_which_events_would_be_held_back(termijn: Call, events: Write) -> None:
    """Old events until an operator releases their group; a hold counts at once, whatever its time."""
    hold = event(
        "h1",
        "privacy.hold-placed",
        "2024-03-15T13:00:00Z",
        subject="consumer:K1",
        hold_id="H1",
        ground="legal_claim",
    )
    today = datetime.now(UTC)
    file = events([ORDER, feedback("f1", f"{today:%Y-%m-%dT%H:%M:%SZ}"), hold])
    reasons = [row["held_back"] for row in termijn("publish", file, "--dry-run", "--json").rows]
    assert reasons == [f"live-history/{today:%Y-%m-%d}/orders.order-placed", None, None]
    named = termijn("publish", file, "--dry-run", "--json", "--backfill", "--name", "2024").rows
    assert [row["held_back"] for row in named] == ["2024", "2024", "2024"]


def test_events_since_1900_are_accepted(termijn: Call, events: Write) -> None:
    """Before 1970 too; each twice, with and without the cached plan."""
    old = [feedback(f"f{n}", at) for n, at in enumerate(("1900-01-01T00:00:00Z", *(OLD,) * 2))]
    listed = termijn("publish", events(old), "--dry-run", "--json").rows
    assert [row["outcome"] for row in listed] == ["recorded"] * 3
    assert [row["holdings"][0]["anchor_at"] for row in listed] == [
        "1900-01-01T00:00:00Z",
        "1955-03-15T13:00:00Z",
        "1955-03-15T13:00:00Z",
    ]
    [row] = rows(
        termijn("publish", events([feedback("f", "1899-12-31T23:59:59Z")]), "--dry-run", "--json")
    )
    assert (row["outcome"], row["reason"]) == ("parked", "impossible-time")


def test_an_import_may_not_have_the_name_of_live_history(termijn: Call, events: Write) -> None:
    """It could not be distinguished from live events with an old time."""
    outcome = termijn("publish", events([ORDER]), "--backfill", "--name", "live-history/2024")
    assert outcome.code == 1
    assert "--name" in outcome.err


def test_every_line_that_would_not_be_recorded_is_reported(termijn: Call, events: Write) -> None:
    """Each with file, line, key and reason; the other lines are still checked."""
    file = events(
        [
            feedback("f1", "2024-03-15T13:00:00Z"),
            "",
            "{",
            event("f2", "website.feedback-given", "2024-03-15T13:00:00Z", feedback_id="F"),
            event(
                "f3",
                "website.feedback-given",
                "2024-03-15T13:00:00Z",
                feedback_id="F",
                visitor_id="",
            ),
            feedback("f4", "2124-03-15T13:00:00Z"),
            event("f5", "website.feedback-taken", "2024-03-15T13:00:00Z"),
        ]
    )
    result = termijn("publish", file, "--dry-run", "--json")
    assert result.code == 1
    assert [(row["line"], row["outcome"], row["reason"], row["key"]) for row in rows(result)] == [
        (1, "recorded", None, None),
        (3, "refused", "no-event", "json"),
        (4, "refused", "unencodable", "visitor_id"),
        (5, "parked", "unknown-subject", "visitor_id"),
        (6, "parked", "impossible-time", "time"),
        (7, "refused", "unknown-type", "type"),
    ]
    *lines, summary = result.err.splitlines()
    assert lines[1] == f"{file}:4: visitor_id: is missing (unencodable)"
    assert summary == "termijn: 5 of 6 events would not be recorded"


def test_events_with_one_identity_are_one_event(termijn: Call, events: Write) -> None:
    """A repeated line counts once; other content under its identity is a dead letter."""
    other = feedback("f1", "2024-03-15T13:00:01Z")
    file = events([feedback("f1", "2024-03-15T13:00:00Z")] * 2 + [other])
    result = termijn("publish", file, "--dry-run", "--json")
    assert [(row["outcome"], row["reason"]) for row in rows(result)] == [
        ("recorded", None),
        ("duplicate", None),
        ("parked", "identity-conflict"),
    ]
    assert "line 1 has the same identity and other content" in result.err


def test_of_events_with_one_identity_the_earliest_counts(termijn: Call, events: Write) -> None:
    """The recorder decides so too, wherever its line is; a line that is parked otherwise does not count."""
    later, first = feedback("f1", "2024-03-15T13:00:01Z"), feedback("f1", "2024-03-15T13:00:00Z")
    never = feedback("f1", "1899-03-15T13:00:00Z")
    result = termijn("publish", events([later, first, first, never]), "--dry-run", "--json")
    assert [(row["outcome"], row["reason"]) for row in rows(result)] == [
        ("parked", "identity-conflict"),
        ("recorded", None),
        ("duplicate", None),
        ("parked", "impossible-time"),
    ]
    assert "line 2 has the same identity and other content" in result.err


def test_an_event_that_is_too_large_for_a_message_is_refused(termijn: Call, events: Write) -> None:
    """The Kafka client would refuse it later."""
    large = {**ORDER, "data": {**ORDER["data"], "remarks": "x" * 1_000_000}}
    result = termijn("publish", events([large]), "--dry-run", "--json")
    assert [row["reason"] for row in rows(result)] == ["too-large"]


def test_a_dry_run_shows_no_value_of_a_field(termijn: Call, events: Write) -> None:
    """Personal data does not belong in the log of a test."""
    wrong = {**ORDER, "data": {**ORDER["data"], "consumer_name": 7, "remarks": "Sanne"}}
    result = termijn("publish", events([wrong]), "--dry-run")
    assert result.code == 1
    assert "Sanne" not in result.out + result.err


def test_a_dry_run_encrypts_fields_with_temporary_keys(
    termijn: Call, events: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No vault is made, and a repeated event is encrypted to the same tokens."""
    shipped = Path(__file__).parents[3] / "services" / "policy" / "optimum_pos.yaml"
    text = shipped.read_text("utf-8")
    text = text.replace(
        "\nsystems:\n", "\nsystems:\n  bus: {title: The log, owner: platform, holds: keys}\n", 1
    ).replace(
        "rule: D4, systems: [orders, psp]}",
        "rule: D4, systems: [orders, psp, bus]}",
    )
    place = text.index("  orders.order-placed:")
    text = text[:place] + text[place:].replace(
        "    holdings:\n", "    encrypted: {consumer_name: [bus]}\n    holdings:\n", 1
    )
    policy = tmp_path / "policy.yaml"
    policy.write_text(text, "utf-8")
    monkeypatch.setenv("TERMIJN_POLICY", str(policy))
    named = {**ORDER, "data": {**ORDER["data"], "consumer_name": "Sanne"}}
    result = termijn("publish", events([named, named]), "--dry-run", "--json")
    assert [row["outcome"] for row in result.rows] == ["recorded", "duplicate"]
    assert "bus" in result.rows[0]["holdings"][0]["systems"]
    assert not (tmp_path / ".termijn").exists()


TYPO = {
    **ORDER,
    "data": {**ORDER["data"], "consumer": "K2", "payment": {"method": "ideal", "methd": "?"}},
}


WHY = "is not a field of orders.order-placed; fix its name, or leave it out (--leave-out)"


def test_a_field_that_is_not_in_the_schema_is_refused(termijn: Call, events: Write) -> None:
    """It would be lost, and a typing error in an optional field changes whose event it is."""
    file = events([ORDER, TYPO])
    result = termijn("publish", file, "--dry-run")
    assert result.code == 1
    assert result.err.splitlines() == [
        f"{file}:2: payment.methd: {WHY}",
        f"{file}:2: consumer: {WHY}",
        "termijn: 1 of 2 events have fields that the schema does not have",
    ]
    rows = [
        json.loads(line)
        for line in termijn("publish", file, "--dry-run", "--json").out.splitlines()
    ]
    assert [row["left_out"] for row in rows] == [[], ["payment.methd", "consumer"]]
    assert termijn("publish", events([ORDER]), "--dry-run").code == 0


def test_a_field_that_is_not_in_the_schema_may_be_left_out(termijn: Call, events: Write) -> None:
    """Exports may have fields that do not belong on Kafka; each is still named."""
    file = events([ORDER, TYPO])
    result = termijn("publish", file, "--dry-run", "--leave-out")
    assert result.code == 0
    assert result.err.splitlines() == [
        f"{file}:2: payment.methd: is not a field of orders.order-placed, and is left out",
        f"{file}:2: consumer: is not a field of orders.order-placed, and is left out",
    ]


def test_a_field_that_is_not_in_the_schema_stops_publishing_the_file(events: Write) -> None:
    """Its line and key are named before anything is sent; left out on purpose, it is not on Kafka."""
    file, codec = events([ORDER, TYPO]), Codec(load_schemas(), None)
    client = Sent()
    publisher = Publisher(policy=loader.load(), codec=codec, sender=client)
    with pytest.raises(InvalidEventLine) as refused:
        list(publisher.messages_from_file(file, None))
    assert str(refused.value) == f"{file}:2: payment.methd: {WHY}"
    assert client.messages == []
    lenient = replace(publisher, leave_out_unknown=True)
    [_, second] = lenient.messages_from_file(file, None)
    value = codec.decode(business_topic(TYPO["type"]), second.value)
    assert (value["payment"]["method"], "consumer" in value) == ("ideal", False)


@dataclass
class Sent:
    """A Kafka client that keeps what it is given."""

    messages: list[OutgoingMessage] = field(default_factory=list)

    def send(self, messages: Sequence[OutgoingMessage]) -> Sequence[RecordMetadata]:
        self.messages.extend(messages)
        return ()


@pytest.mark.parametrize("options", [("--json",), ("--dry-run", "--wait")], ids=" ".join)
def test_options_that_exclude_each_other_are_refused(
    termijn: Call, events: Write, options: tuple[str, ...]
) -> None:
    """Before anything is opened."""
    outcome = termijn("publish", events([ORDER]), *options)
    assert outcome.code == 1
    assert "--dry-run" in outcome.err
