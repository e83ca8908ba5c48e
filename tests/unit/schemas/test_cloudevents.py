"""CloudEvents: structured and binary mode, times, and when two events have the same content."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.cloudevents import (
    CloudEvent,
    MalformedEvent,
    format_rfc3339,
    from_headers,
    hash_event,
    parse_rfc3339,
    parse_structured,
    to_headers,
)
from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import business_topic
from tests.unit.schemas.values import INSTANTS

AT = datetime(2026, 3, 15, 13, tzinfo=UTC)
LINE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/shop",
    "type": "orders.order-placed",
    "time": "2026-03-15T14:00:00+01:00",
    "data": {"order_id": "O1"},
}


def event(**changes: Any) -> CloudEvent:
    return CloudEvent(
        **{"id": "1", "source": "/shop", "type": "a.b", "time": AT, "data": {}, **changes}
    )


@pytest.mark.parametrize("specversion", [{"specversion": "1.0"}, {}])
def test_an_event_is_parsed_from_a_line_of_json(specversion: dict[str, str]) -> None:
    """Structured mode; the version may be left out, unknown attributes are ignored."""
    line = {k: v for k, v in LINE.items() if k != "specversion"} | specversion | {"subject": "?"}
    expected = event(type="orders.order-placed", data={"order_id": "O1"})
    assert parse_structured(json.dumps(line)) == expected


def test_an_event_from_a_line_may_belong_to_an_import() -> None:
    """The extension attribute of backfills, in this mode too."""
    assert parse_structured(json.dumps(LINE | {"termijnbackfill": "B1"})).backfill == "B1"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        *(({key: None}, key) for key in ("id", "source", "type", "time", "data")),
        *(({key: 7}, key) for key in ("id", "source", "type", "time", "data")),
        ({"id": ""}, "id"),
        ({"id": "a\0b"}, "id"),
        ({"source": "\ud800"}, "source"),
        ({"data": []}, "data"),
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": None}, "specversion"),
        ({"time": "2026-03-15T14:00:00"}, "time"),
        ({"termijnbackfill": 7}, "termijnbackfill"),
        ({"data": json.loads("[" * 70 + "]" * 70)}, "data"),
        ({"data": {"a": json.loads("[" * 70 + "]" * 70)}}, "data"),
    ],
)
def test_an_invalid_event_is_refused_with_its_key(change: dict[str, Any], key: str) -> None:
    """The publisher sees what to fix."""
    with pytest.raises(MalformedEvent) as refused:
        parse_structured(json.dumps(LINE | change))
    assert refused.value.key == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"data": NaN}',
        '{"data": -Infinity}',
        '{"data": ' + "9" * 5000 + "}",
        "[" * 200_000,
    ],
)
def test_a_line_that_is_not_json_is_malformed(text: str) -> None:
    """Python's parser may raise any error."""
    with pytest.raises(MalformedEvent) as refused:
        parse_structured(text)
    assert refused.value.key == "json"


@given(text=st.text(max_size=40))
@example(text=json.dumps(LINE))
def test_any_text_is_an_event_or_malformed(text: str) -> None:
    """No other error is raised."""
    with suppress(MalformedEvent):
        assert parse_structured(text).id


WORD = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=10)


@given(id=WORD, source=WORD, type=WORD, time=INSTANTS, backfill=st.none() | WORD)
def test_an_event_is_parsed_from_its_headers_unchanged(
    id: str, source: str, type: str, time: datetime, backfill: str | None
) -> None:
    """Binary mode, for all text and to the microsecond."""
    original = event(id=id, source=source, type=type, time=time, backfill=backfill, data={"a": 1})
    assert from_headers(to_headers(original), {"a": 1}) == original


def test_the_headers_are_those_of_the_kafka_binding() -> None:
    """Names and forms that every other implementation of CloudEvents reads."""
    assert to_headers(event(backfill="B1")) == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"/shop"),
        ("ce_type", b"a.b"),
        ("ce_time", b"2026-03-15T13:00:00Z"),
        ("content-type", b"application/avro"),
        ("ce_termijnbackfill", b"B1"),
    ]


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        (None, "ce_specversion"),
        ([("ce_specversion", b"1.0")], "id"),
        ([*to_headers(event()), ("ce_time", b"yesterday")], "time"),
        ([*to_headers(event()), ("ce_id", b"\xff")], "ce_id"),
        ([*to_headers(event()), ("ce_id", b"a\x00b")], "id"),
        ([*to_headers(event()), ("ce_specversion", b"2.0")], "ce_specversion"),
    ],
)
def test_invalid_headers_are_reported_with_their_key(headers: Any, key: str) -> None:
    """Such a message on Kafka is parked."""
    with pytest.raises(MalformedEvent) as refused:
        from_headers(headers, {})
    assert refused.value.key == key


def test_unknown_headers_are_ignored() -> None:
    """Its name is the publisher's: an error that named it would put it into logs and dead letters."""
    strange = ("ce_janedoe1980", b"\xff")
    assert from_headers([*to_headers(event()), strange], {"a": 1}) == event(data={"a": 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-15T13:00:00Z", "2026-03-15T13:00:00Z"),
        ("2026-03-15t14:00:00.5+01:00", "2026-03-15T13:00:00.500000Z"),
        ("2026-03-15T13:00:00.1234569Z", "2026-03-15T13:00:00.123456Z"),
        ("2026-03-15T13:00:00.0000009z", "2026-03-15T13:00:00Z"),
        ("2024-02-29T23:59:59-00:00", "2024-02-29T23:59:59Z"),
        ("0999-01-01T00:00:00Z", "0999-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_read_and_written_in_utc(text: str, expected: str) -> None:
    """Digits beyond microseconds are cut off, never rounded up."""
    assert format_rfc3339(parse_rfc3339(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-15T13:00:00",
        "2026-03-15 13:00:00Z",
        "2026-03-15",
        "2026-03-15T24:00:00Z",
        "2026-03-15T23:59:60Z",
        "2026-03-15T13:60:00Z",
        "2026-03-15T13:00:00+24:00",
        "2026-03-15T13:00:00+01:60",
        "2026-03-15T13:00:00+0100",
        "2026-03-15T13:00:00.Z",
        "2026-02-29T13:00:00Z",
        "2026-13-01T13:00:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+01:00",
        "2026-03-15T13:00:00Z\n",
        "२०२६-03-15T13:00:00Z",
    ],
)
def test_an_invalid_time_is_refused(text: str) -> None:
    """Leap seconds, midnight as 24:00, and dates that do not exist."""
    with pytest.raises(MalformedEvent) as refused:
        parse_rfc3339(text)
    assert refused.value.key == "time"


@given(at=INSTANTS)
def test_a_written_time_is_read_unchanged(at: datetime) -> None:
    """It is exact to the microsecond."""
    assert parse_rfc3339(format_rfc3339(at)) == at


def test_a_time_without_an_offset_is_refused() -> None:
    """It could be any of twenty-six hours."""
    with pytest.raises(ValueError, match="naive"):
        event(time=datetime(2026, 3, 15, 13))


def test_the_time_of_an_event_is_in_utc() -> None:
    """It may be given in any zone."""
    created = event(time=datetime(2026, 3, 15, 14, tzinfo=timezone(timedelta(hours=1))))
    assert (created.time, created.time.tzinfo) == (AT, UTC)


def test_the_hash_of_an_event_is_that_of_its_canonical_json() -> None:
    """Written out by hand, so that it never changes: the ledger holds the hashes of years."""
    hashed = hash_event(event(data={"b": "é", "a": None, "c": [True, {"d": None}]}))
    # printf '["a.b","2026-03-15T13:00:00Z",{"b":"é","c":[true,{}]}]' | sha256sum
    assert hashed.hex() == "65262c4882d4aaabcf04e28ba79f339d7b3e770426aee095d8c59e37bc0b4461"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"id": "2", "source": "/desk", "backfill": "B1"}, True),
        ({"time": datetime(2026, 3, 15, 14, tzinfo=timezone(timedelta(hours=1)))}, True),
        ({"data": {"a": "1", "b": None}}, True),
        ({"data": {"a": "2"}}, False),
        ({"type": "a.c"}, False),
        ({"time": AT + timedelta(microseconds=1)}, False),
    ],
)
def test_events_have_the_same_content_by_type_time_and_data(
    change: dict[str, Any], same: bool
) -> None:
    """Identity and absent attributes do not count."""
    first, other = event(data={"a": "1"}), event(**({"data": {"a": "1"}} | change))
    assert (hash_event(first) == hash_event(other)) is same


def test_the_hash_does_not_depend_on_the_encoding() -> None:
    """An event in a file and the same event on Kafka have one hash."""
    data = {
        "invoice_id": "F1",
        "customer_id": "C1",
        "issued_on": "2026-03-15",
        "orders": [{"order_id": "O1", "received_at": "2026-03-15T13:00:00Z"}],
    }
    codec, topic = Codec(load()), business_topic("billing.invoice-issued")
    decoded = codec.decode(topic, codec.encode(topic, data))
    assert decoded["issued_on"] == date(2026, 3, 15)
    assert hash_event(event(data=decoded)) == hash_event(event(data=data))
