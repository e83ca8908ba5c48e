"""The codec: what cannot be read is reported as undecodable, and no other error is raised."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.codec import Codec
from schemas.errors import DecodingFailed, EncodingFailed, InvalidSchema, UnknownSchema
from schemas.schema_files import load
from schemas.topics import TAGGED, business_topic, command_topic
from tests.effort import SLOW
from tests.unit.schemas.values import (
    FILES,
    MINIMAL,
    definition,
    name_of,
    newest_files,
    topic_of,
    values,
    version_of,
)

SCHEMAS = load()
CODEC = Codec(SCHEMAS)
FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=SLOW)
ENDED = business_topic("suppliers.supplier-ended")
ORDERS = business_topic("orders.order-placed")
ENDED_FRAME = b"\xc3\x01" + SCHEMAS.newest("suppliers.supplier-ended").fingerprint


def test_a_message_is_single_object_encoded() -> None:
    """Marker, fingerprint, and the string with its length."""
    assert CODEC.encode(ENDED, {"supplier_id": "L1"}) == ENDED_FRAME + b"\x04L1"


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (None, "is empty"),
        (b"", "is empty"),
        (b"\xc3", "ends too early"),
        (ENDED_FRAME[:9], "ends too early"),
        (ENDED_FRAME, "ends too early"),
        (ENDED_FRAME + b"\x04L", "ends too early"),
        (ENDED_FRAME + b"\x04L1!?", "has 2 bytes after its end"),
        (
            ENDED_FRAME + b"\x02\xff",
            "does not fit the schema that it names (UnicodeDecodeError)",
        ),
        (b"\xc3\x02" + bytes(9), "is not Avro with a fingerprint or a schema id"),
        (b'{"supplier_id": "L1"}', "is not Avro with a fingerprint or a schema id"),
        (
            b"\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08",
            "was written with a schema that is not known here (0102030405060708)",
        ),
        (b"\x00\x00\x00\x01", "ends too early"),
        (
            b"\x00\x00\x00\x00\x01\x04L1",
            "was written through a schema registry, and none is configured here",
        ),
        (
            CODEC.encode(topic_of("customers.customer-terminated"), {"customer_id": "L1"}),
            "was written with the schema nl.termijn.business.customers.CustomerTerminated",
        ),
    ],
)
def test_an_undecodable_message_has_its_reason(payload: bytes | None, why: str) -> None:
    """Each kind of broken message has its own, and names the topic."""
    with pytest.raises(DecodingFailed) as refused:
        CODEC.decode(ENDED, payload)
    assert (refused.value.why, refused.value.topic) == (why, "suppliers.supplier-ended.v1")


def survives(name: str, payload: bytes) -> None:
    """Check that any input gives a value or `DecodingFailed`."""
    with suppress(DecodingFailed):
        CODEC.decode(topic_of(name), payload)


NAMES = [name_of(file) for file in newest_files()]


@FUZZ
@given(name=st.sampled_from(NAMES), payload=st.binary(max_size=64))
@example(name="command", payload=b"\xc3\x01" * 5)
def test_any_bytes_are_a_value_or_undecodable(name: str, payload: bytes) -> None:
    """No bytes stop a consumer."""
    survives(name, payload)


@FUZZ
@given(file=st.sampled_from(FILES), datum=st.binary(max_size=200))
@example(file=FILES[0], datum=b"\xff" * 9 + b"\x01")
@example(file=FILES[0], datum=b"\x80" * 100_000)
def test_any_bytes_after_a_valid_header_are_a_value_or_undecodable(
    file: Path, datum: bytes
) -> None:
    """Wild lengths, counts, union branches and dates never stop a consumer, nor fill its memory."""
    versions = {schema.version: schema for schema in SCHEMAS.versions(name_of(file))}
    survives(name_of(file), b"\xc3\x01" + versions[version_of(file)].fingerprint + datum)


@FUZZ
@given(data=st.data())
def test_a_truncated_message_is_always_detected(data: st.DataObject) -> None:
    """A message that was cut off is always noticed."""
    file = data.draw(st.sampled_from(newest_files()))
    topic = topic_of(name_of(file))
    payload = CODEC.encode(topic, data.draw(values(definition(file))))
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(DecodingFailed):
        CODEC.decode(topic, payload[:cut])


@FUZZ
@given(data=st.data())
def test_a_flipped_byte_gives_a_value_or_undecodable(data: st.DataObject) -> None:
    """Corruption that Avro cannot detect gives some value; all other is reported."""
    file = data.draw(st.sampled_from(newest_files()))
    payload = bytearray(CODEC.encode(topic_of(name_of(file)), data.draw(values(definition(file)))))
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] ^= data.draw(st.integers(1, 255))
    survives(name_of(file), bytes(payload))


@pytest.mark.parametrize(
    ("change", "key", "why"),
    [
        ({"payment": {}}, "payment.method", "is missing"),
        ({"payment": None}, "payment", "is not an object"),
        ({"amount": 12.5}, "amount", "is not a string"),
        ({"order_id": None}, "order_id", "is not a string"),
        ({"lines": [{"quantity": "two"}]}, "lines[].quantity", "is not a whole number of 32 bits"),
        ({"consumer_id": "\ud800"}, "consumer_id", "has a lone surrogate"),
    ],
)
def test_a_value_that_does_not_fit_names_the_field(
    change: dict[str, Any], key: str, why: str
) -> None:
    """The error gives the path and never the value, which may be personal data."""
    with pytest.raises(EncodingFailed) as refused:
        CODEC.encode(ORDERS, {**MINIMAL["orders.order-placed"], **change})
    assert (refused.value.schema, refused.value.key) == ("orders.order-placed", key)
    assert refused.value.why == why


def test_a_trusted_value_that_does_not_fit_is_unencodable() -> None:
    """No other error is raised without the checks either."""
    with pytest.raises(EncodingFailed):
        CODEC.encode(command_topic("crm"), {"command_id": 7}, trusted=True)


def test_a_decoded_time_is_in_utc() -> None:
    """It is exact to the microsecond."""
    order = {**MINIMAL["orders.order-placed"], "received_at": "2026-03-15T14:00:00.000001+01:00"}
    decoded = CODEC.decode(ORDERS, CODEC.encode(ORDERS, order))
    assert decoded["received_at"] == datetime(2026, 3, 15, 13, 0, 0, 1, tzinfo=UTC)
    assert decoded["received_at"].tzinfo is UTC


def test_the_first_fields_are_read_without_the_rest() -> None:
    """A truncated or corrupt end is not read; a truncated start is reported."""
    newest = SCHEMAS.newest("orders.order-placed")
    value = {"order_id": "o", "customer_id": "c", "consumer_id": "k", "amount": "1.50"}
    whole = CODEC.encode(ORDERS, value | {"payment": {"method": "ideal"}})
    names = [field["name"] for field in newest.definition["fields"]]
    head = {name: CODEC.decode(ORDERS, whole)[name] for name in names[:2]}
    assert CODEC.decode_prefix(ORDERS, whole, names[1]) == head
    assert CODEC.decode_prefix(ORDERS, whole[:-1] + b"!!!", names[1]) == head
    with pytest.raises(DecodingFailed, match="ends too early"):
        CODEC.decode_prefix(ORDERS, whole[:11], names[1])


def test_a_topic_without_a_schema_is_reported_first() -> None:
    """It is a fault of the configuration, not of the message."""
    with pytest.raises(UnknownSchema):
        CODEC.decode(business_topic("loyalty.points-earned"), b"")


def record(name: str, *fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "com.example", "fields": list(fields)}


POINTS = record(
    "PointsEarned",
    {"name": "member_id", "type": "string"},
    {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
    {
        "name": "worth",
        "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    },
)


def write(directory: Path, **schemas: Any) -> None:
    for name, schema in schemas.items():
        file = directory / f"{name.replace('__', '-').replace('_', '.')}.avsc"
        file.write_text(schema if isinstance(schema, str) else json.dumps(schema))


def test_a_company_adds_its_own_events_with_files_alone(tmp_path: Path) -> None:
    """No code: a schema in a directory, and its type has a codec."""
    write(tmp_path, loyalty_points__earned_1=POINTS)
    codec = Codec(load(tmp_path))
    topic = business_topic("loyalty.points-earned")
    decoded = codec.decode(topic, codec.encode(topic, {"member_id": "M1", "worth": "1.25"}))
    assert {**decoded, "worth": str(decoded["worth"])} == {
        "member_id": "M1",
        "tags": [],
        "worth": "1.25",
    }


NODE = {"name": "next", "type": ["null", "Node"], "default": None}
EMPTY = record("Empty", {"name": "all", "type": {"type": "array", "items": "null"}})


@pytest.mark.parametrize(
    ("schemas", "why"),
    [
        ({"a_b_1": "{"}, "is not a usable schema"),
        ({"a_b_1": {"type": "enum", "name": "E", "symbols": ["A"]}}, "it is not a record"),
        ({"a_b_1": record("A", {"name": "x", "type": "nothing"})}, "nothing"),
        ({"a_b": POINTS}, "is not called <event type>.<version>.avsc"),
        ({"a_b_0": POINTS}, "is not called <event type>.<version>.avsc"),
        ({"a_b_1": record("Node", NODE)}, "is recursive: com.example.Node holds itself"),
        ({"a_b_1": EMPTY}, "has an array of items that take no bytes"),
        ({"a_b_1": POINTS, "a_c_1": POINTS}, "com.example.PointsEarned is taken"),
        ({"suppliers_supplier__ended_1": POINTS}, "is there twice"),
        (
            {"a_b_1": record("A"), "a_b_2": record("A", {"name": "x", "type": "string"})},
            "version 2 cannot read version 1: x: is not written and has no default",
        ),
    ],
)
def test_an_invalid_schema_file_is_named(tmp_path: Path, schemas: dict[str, Any], why: str) -> None:
    """Nothing is loaded partly, and no shipped schema is replaced."""
    write(tmp_path, **schemas)
    with pytest.raises(InvalidSchema) as refused:
        load(tmp_path)
    assert why in refused.value.why
    assert str(refused.value.place).endswith(".avsc")


def test_a_missing_directory_of_schemas_is_named(tmp_path: Path) -> None:
    """A typing error in the settings must not look like a company without events."""
    with pytest.raises(InvalidSchema, match="nowhere: is not a directory"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("own", [True, False])
def test_a_tagged_event_is_decoded_unchanged(own: bool) -> None:
    """Its topic is the busiest, and it is encoded in both ways."""
    at = datetime(2026, 3, 15, 13, tzinfo=UTC)
    holding = {
        "purpose": "service_delivery",
        "basis": "contract",
        "rule": "R1",
        "systems": ["crm"],
        "anchor": "relationship",
        "anchor_at": None,
        "anchors": [{"anchor": "relationship", "anchor_at": None, "ends_at": at}],
        "not_before": None,
        "erase_by": at,
        "due_at": {"crm": at},
    }
    tag: dict[str, Any] = {
        "source": "/shop",
        "id": "1",
        "type": "purchases.purchase-made",
        "time": at,
        "content_hash": b"\x00" * 32,
        "topic": "purchases.purchase-made.v1",
        "partition": 3,
        "offset": 2**40,
        "policy": "optimum-pos",
        "policy_version": "2021-05-19.2",
        "backfill": None,
        "history": None,
        "deciding": '{"customer_id":"C1","purchase_id":"P1"}',
        "records": [{"subject": "customer:C1", "holdings": [holding]}],
        "moves": [
            {
                "clock": "relationship",
                "key": "C1",
                "move": "end",
                "date": "2041-03-31",
                "outcome": "accepted",
            }
        ],
    }
    assert CODEC.decode(TAGGED, CODEC.encode(TAGGED, tag, trusted=own)) == tag
