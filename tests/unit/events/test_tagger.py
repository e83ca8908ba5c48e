"""Tagged events by encoded plan have the same bytes as without, whatever the event contains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.cloudevents import CloudEvent, from_headers, to_headers
from schemas.codec import Codec
from schemas.errors import MalformedEvent
from schemas.schema_files import load
from schemas.topics import TAGGED, Topic, business_topic
from services.events.encoded_plan import encode_long, encode_string
from services.events.tagged_message import Headers, TaggedEventBuilder, TaggedMessage
from services.events.tagger import EventTagger
from services.kafka.record_metadata import RecordMetadata
from services.policy.event_type import Field
from services.policy.loader import load as load_policy
from services.policy.tagging_error import TaggingFailed
from tests.contract.retiring_policy import policy_retiring
from tests.unit.policy.constructs import policy_with

POLICY = load_policy()
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Json(Codec):
    """A codec of JSON bodies, which may be what no schema of Termijn would accept."""

    def decode(self, topic: Topic, payload: bytes | None) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(payload or b"{}")
        return decoded


CODEC = Json(load())
TAGS = EventTagger(
    policy=POLICY,
    codec=CODEC,
    topics={topic.name: topic for topic in map(business_topic, POLICY.events)},
)
LONG = "K" * 513
ODD: tuple[Any, ...] = (
    *("", "C 1", "a:b", 'q"\\', "é%s", "C1\n", LONG),
    *(None, True, 1, [], ["C1"], ["C1", 2]),
)


def values(name: str, field: Field) -> st.SearchStrategy[Any]:
    """Return values of a field: mostly valid, sometimes anything."""
    usual: st.SearchStrategy[Any]
    if field.one_of:
        usual = st.sampled_from(field.one_of)
    elif field.type == "boolean":
        usual = st.booleans()
    elif field.type == "strings":
        usual = st.lists(st.sampled_from(["K1", "K2", "crm", "repair"]), max_size=3)
    elif name == "subject":
        usual = st.sampled_from(["customer:C1", "contact:a b", "nobody:C1", "customer:", "C1"])
    else:
        usual = st.sampled_from(["C1", "D-2", "E_3", "F.4", "crm", "direct_marketing"])
    return st.one_of(usual, usual, usual, usual, st.sampled_from(ODD))


def bodies(type: str) -> st.SearchStrategy[dict[str, Any]]:
    fields = POLICY.events[type].fields
    return st.fixed_dictionaries({}, optional={n: values(n, f) for n, f in fields.items()})


EVENTS = st.sampled_from(sorted(POLICY.events)).flatmap(
    lambda type: st.tuples(st.just(type), bodies(type))
)
TIMES = st.one_of(
    st.sampled_from(
        [
            "2024-12-31T22:59:59Z",
            "2024-12-31T23:00:00Z",
            "2026-03-29T01:30:00.000001Z",
            "2026-03-29T01:30:00.000000Z",
            "2026-03-15T14:00:00+01:00",
            "2026-03-15T24:00:00Z",
            "1899-12-31T23:59:59Z",
            "1900-01-01T00:00:00Z",
            "1937-06-30T23:59:59Z",
            "1970-01-01T00:00:00Z",
            "2026-06-24T11:59:59.999999Z",
            "2026-06-24T12:00:00Z",
            "2026-07-02T12:00:00Z",
            "2026-07-02T12:00:01Z",
        ]
    ),
    st.datetimes(datetime(1900, 1, 1), datetime(2026, 7, 1)).map(lambda at: f"{at.isoformat()}Z"),
)


def outcome(made: Any) -> Any:
    """Return its result, or its error."""
    try:
        return made()
    except (MalformedEvent, TaggingFailed) as cause:
        return type(cause), str(cause)


def plainly(
    type: str, headers: Headers, data: Mapping[str, Any], place: RecordMetadata
) -> TaggedMessage:
    """Return what the tagger publishes without plans."""
    event = from_headers(headers, data)
    if event.type != type:
        raise MalformedEvent(key="ce_type", why=f"is not the type of {place.topic}")
    if event.time > NOW + timedelta(days=1):
        why = f"{event.time.isoformat()} is more than a day ahead of its arrival"
        raise TaggingFailed("impossible-time", "time", why)
    old = event.time < datetime(2026, 6, 24, 12, tzinfo=UTC)
    history = f"live-history/2026-07-01/{type}" if old else None
    return TaggedEventBuilder(policy=POLICY, codec=CODEC).build(event, place, history)


@given(
    EVENTS,
    TIMES,
    st.sampled_from([b"e1", b"0c1f-\xc3\xa9", b"a b", b"", None]),
    st.sampled_from([b"/shop", b"urn:x%s"]),
    st.sampled_from([None, b"B1", b"B 2", b"\x00", b"live-history/x"]),
    st.integers(0, 2**40),
)
@example(("orders.order-placed", {}), "2026-03-15T13:00:00Z", b"e1", b"/shop", None, 0)
@example(
    ("orders.order-placed", {"order_id": "C1", "customer_id": "D-2", "consumer_id": "E_3"}),
    "1955-03-15T13:00:00Z",
    b"e1",
    b"/shop",
    None,
    0,
)
def test_tagging_by_plan_gives_the_same_as_without(
    typed: tuple[str, dict[str, Any]],
    time: str,
    id: bytes | None,
    source: bytes,
    backfill: bytes | None,
    offset: int,
) -> None:
    """Bytes and errors agree; each is tried twice, before and after its shape is known."""
    type_, data = typed
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", type_.encode()),
        ("ce_source", source),
        ("ce_id", id),
        ("ce_time", time.encode()),
        ("ce_termijnbackfill", backfill),
    ]
    place = RecordMetadata(f"{type_}.v1", 3, offset)
    expected = outcome(lambda: plainly(type_, headers, data, place))
    body = json.dumps(data).encode()
    for _ in range(2):
        assert outcome(lambda: TAGS.tag_message(place, headers, body, NOW)) == expected


def test_a_plan_from_before_a_retirement_is_not_used_after_it() -> None:
    """The plan of an earlier order names the accounting system; the next order does not."""
    policy = policy_retiring({"accounting": "2026-03-15T13:02:00Z"})
    tags = EventTagger(policy=policy, codec=CODEC, topics=TAGS.topics)
    systems = []
    for number in (0, 1, 2, 3):
        event = CloudEvent(
            id=f"e{number}",
            source="/shop",
            type="orders.order-placed",
            time=datetime(2026, 3, 15, 13, number, tzinfo=UTC),
            data={"order_id": f"O{number}", "customer_id": "C", "consumer_id": f"K{number}"},
        )
        place = RecordMetadata("orders.order-placed.v1", 1, number)
        passed = tags.tag_message(
            place, to_headers(event), json.dumps(dict(event.data)).encode(), NOW
        )
        value = Codec(load()).decode(TAGGED, passed.value)
        assert value["id"] == f"e{number}"
        systems.append(
            {system for holding in value["records"][0]["holdings"] for system in holding["systems"]}
        )
    assert systems == [
        {"orders", "psp", "research", "accounting"},
        {"orders", "psp", "research", "accounting"},
        {"orders", "psp", "research"},
        {"orders", "psp", "research"},
    ]


def test_an_event_tagged_by_plan_has_its_own_values() -> None:
    """The second order of its shape, read back from its bytes."""
    tags = EventTagger(policy=POLICY, codec=CODEC, topics=TAGS.topics)
    for number in ("1", "2"):
        event = CloudEvent(
            id=f"e{number}",
            source="/shop",
            type="orders.order-placed",
            time=datetime(2026, 3, 15, 13, int(number), tzinfo=UTC),
            data={
                "order_id": f"O{number}",
                "customer_id": f"C{number}",
                "consumer_id": f"K{number}",
            },
        )
        place = RecordMetadata("orders.order-placed.v1", int(number), 10 + int(number))
        body = json.dumps(dict(event.data)).encode()
        passed = tags.tag_message(place, to_headers(event), body, NOW)
    value = Codec(load()).decode(TAGGED, passed.value)
    assert passed.key == b"consumer:K2"
    assert (value["id"], value["source"], value["partition"], value["offset"]) == (
        "e2",
        "/shop",
        2,
        12,
    )
    assert value["time"] == datetime(2026, 3, 15, 13, 2, tzinfo=UTC)
    assert value["deciding"] == '{"consumer_id":"K2","customer_id":"C2","order_id":"O2"}'
    assert {record["subject"] for record in value["records"]} == {"consumer:K2"}


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "00"),
        (63, "7e"),
        (64, "8001"),
        (8_191, "fe7f"),
        (8_192, "808001"),
        (2**51, "80808080808080" + "08"),
        (-1, "01"),
        (-64, "7f"),
        (-65, "8101"),
        (-(2**51), "ffffffffffffff" + "07"),
    ],
)
def test_integers_are_encoded_as_in_avro(number: int, encoded: str) -> None:
    """Zigzag, then seven bits at a time, the low ones first."""
    assert encode_long(number).hex() == encoded


def test_a_string_is_encoded_with_its_length_before_it() -> None:
    """The length is in bytes."""
    assert encode_string(b"a" * 64)[:3] == b"\x80\x01a"


EVENT, STAY = "anchor: {kind: event}", "anchor: {kind: clock, clock: stay}"
RULES = (
    f"kind: at_least, ends: last, of: [{{term: P3Y, {EVENT}}}, {{term: P1Y, {STAY}}}]",
    f"kind: at_most, ends: first, of: [{{term: P3Y, {EVENT}}}, {{term: P1Y, {STAY}}}]",
    "kind: at_least, term: P1Y, anchor: {kind: event, end_of: fiscal}",
    "kind: at_most, term: P1M, anchor: {kind: event, end_of: quarter}",
    "kind: at_least, term: P7Y, anchor: {kind: book-year}",
    f"kind: at_most, term: P7Y, minimum: P5Y, {EVENT}",
    "kind: at_most, term: P1Y, anchor: {kind: field, field: born_on}",
    "kind: at_least, term: never",
)


@settings(deadline=None)  # each example loads a policy
@given(
    st.lists(st.sampled_from(RULES), min_size=1, max_size=4, unique=True),
    st.lists(st.tuples(TIMES, st.sampled_from([None, "1938-05-04", "2041-03-31"])), max_size=4),
)
@example([RULES[2], RULES[4]], [("2024-08-31T21:59:59Z", None), ("2024-08-31T22:00:00Z", None)])
def test_a_plan_gives_the_same_for_rules_with_years_dates_and_several_ends(
    rules: list[str], events: list[tuple[str, str | None]]
) -> None:
    """Windows in tags are those of each event, not of the first event of its shape."""
    policy = policy_with(
        {f"r{n}": rule for n, rule in enumerate(rules)},
        fields="      born_on: {type: date, required: false}\n",
    )
    topic = business_topic("club.joined")
    tags = EventTagger(policy=policy, codec=CODEC, topics={topic.name: topic}, bound=10**5 * DAY)
    for number, (time, born_on) in enumerate(events):
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_type", b"club.joined"),
            ("ce_source", b"/club"),
            ("ce_id", f"e{number}".encode()),
            ("ce_time", time.encode()),
        ]
        data = {"client_id": f"C{number}", "stay_id": f"S{number}", "born_on": born_on}
        place = RecordMetadata(topic.name, 3, number)

        def made_plainly() -> TaggedMessage:
            event = from_headers(headers, data)  # noqa: B023  # called at once
            if event.time > NOW + DAY:
                why = f"{event.time.isoformat()} is more than a day ahead of its arrival"
                raise TaggingFailed("impossible-time", "time", why)
            return TaggedEventBuilder(policy=policy, codec=CODEC).build(event, place)  # noqa: B023

        body = json.dumps(data).encode()
        expected = outcome(made_plainly)
        assert outcome(lambda: tags.tag_message(place, headers, body, NOW)) == expected  # noqa: B023
