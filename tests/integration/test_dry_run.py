"""A dry run predicts for each event what the roles then do with it, on a real Kafka."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from schemas.cloudevents import format_rfc3339
from schemas.codec import Codec
from schemas.errors import TermijnError
from schemas.schema_files import load
from schemas.topics import TAGGED, business_topic
from services.events.dry_run import DryRun
from services.kafka.producer import OutgoingMessage
from services.policy import loader
from tests.integration.whole_way import now, whole_way
from tests.servers.kafka import KafkaCluster
from tests.unit.schemas.values import MINIMAL

POLICY = loader.load()
SCHEMAS = load()
CODEC = Codec(SCHEMAS)
FEEDBACK = "website.feedback-given"
WRONG = (None, "", 7, True, "x" * 513, "tab\there", ["C1"], {"id": "C1"}, "nonsense")


def event(id: str, type: str, data: Any) -> dict[str, Any]:
    """Return an event in structured mode, an hour old."""
    time = format_rfc3339(now().replace(microsecond=0) - timedelta(hours=1))
    return {"id": id, "source": "/shop", "type": type, "time": time, "data": data}


def examples() -> Iterator[dict[str, Any]]:
    """Return each event type as valid, and with each of its fields missing or wrong in every way."""
    for type, data in MINIMAL.items():
        yield event(type, type, data)
        for field in data:
            other_fields = {name: value for name, value in data.items() if name != field}
            yield event(f"{type} without {field}", type, other_fields)
            for n, wrong in enumerate(WRONG):
                yield event(f"{type} {field} {n}", type, {**data, field: wrong})
    yield from attributes()


def attributes() -> Iterator[dict[str, Any]]:
    """Return an event whose attributes are wrong in every way."""
    good = event("good", FEEDBACK, MINIMAL[FEEDBACK])
    yield good
    yield good
    yield {**good, "data": {**good["data"], "page": "/other"}}  # the same identity
    for n, time in enumerate(
        ("", "yesterday", "2024-02-30T13:00:00Z", "1899-12-31T23:59:59Z", "9999-12-31T23:59:59Z")
    ):
        yield {**good, "id": f"time {n}", "time": time}
    yield {**good, "id": "ahead", "time": format_rfc3339(now() + timedelta(days=2))}
    yield {**good, "id": "nearly ahead", "time": format_rfc3339(now() + timedelta(hours=23))}
    yield {**good, "id": "old", "time": "1900-01-01T00:00:00Z"}
    yield {**good, "id": "a\tb"}
    yield {**good, "id": "y" * 2000}
    yield {**good, "id": "z", "specversion": "0.3"}
    yield {**good, "id": "unknown", "type": "website.feedback-taken"}
    yield {**good, "id": "no object", "data": []}
    yield {**good, "id": "named", "source": "ünïcode"}
    for name in ("id", "source", "time"):
        yield {key: value for key, value in {**good, "id": "less"}.items() if key != name}


def anyhow(line: Mapping[str, Any]) -> OutgoingMessage:
    """Return the message of a publisher that checks nothing."""
    topic = business_topic(line["type"] if line["type"] in MINIMAL else FEEDBACK)
    headers = [("ce_specversion", str(line.get("specversion", "1.0")).encode())]
    headers += [
        (f"ce_{name}", line[name].encode())
        for name in ("id", "source", "type", "time")
        if name in line
    ]
    try:
        value = CODEC.encode(topic, line["data"])
    except (TermijnError, AttributeError):
        value = json.dumps(line["data"]).encode()
    return OutgoingMessage(topic=topic.name, key=b"any", value=value, headers=headers)


def test_a_dry_run_and_the_roles_agree(fresh_kafka: KafkaCluster, tmp_path: Path) -> None:
    """What it refuses is parked for the same reason, and what it accepts is recorded."""
    lines = list(examples())
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    results = list(DryRun(POLICY, SCHEMAS, now()).run_file(file))
    accepted = {lines[result.line - 1]["id"] for result in results if not result.is_rejected}
    refused = [result for result in results if result.is_rejected]

    with whole_way(fresh_kafka, tmp_path, POLICY, CODEC, MINIMAL) as way:
        placed = way.bus.open_producer().send([anyhow(line) for line in lines])
        way.pass_through()
        recorded = way.events()
        parked = {(letter.topic, letter.offset): letter.reason for letter in way.letters()}

    assert recorded == accepted
    conflicts = [result for result in refused if result.reason == "identity-conflict"]
    assert [reason for (topic, _), reason in parked.items() if topic == TAGGED.name] == [
        "identity-conflict" for _ in conflicts
    ]
    where = {
        result.line: (placed[result.line - 1].topic, placed[result.line - 1].offset)
        for result in results
    }
    others = [result for result in refused if result not in conflicts]
    assert {where[result.line] for result in others} == {
        place for place in parked if place[0] != TAGGED.name
    }
    parked_events = [result for result in others if result.outcome == "parked"]
    assert [(result.line, parked[where[result.line]]) for result in parked_events] == [
        (result.line, result.reason) for result in parked_events
    ]
    assert (len(results), len(conflicts)) == (890, 1)
    assert len(accepted) > 100
    assert len(parked_events) > 250
