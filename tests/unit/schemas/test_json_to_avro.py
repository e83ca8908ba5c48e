"""From JSON to Avro: which values are accepted, and which are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from schemas.json_to_avro import build_coercer
from schemas.scalars import CoercionError

DATE = {"type": "int", "logicalType": "date"}
INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
IDENTITY = {"type": "string", "logicalType": "uuid"}
STRINGS = {"type": "array", "items": "string"}
COLOUR = {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}
FIXED = {"type": "fixed", "name": "Four", "size": 4}
NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schema", "value", "fitted"),
    [
        (STRINGS, "repair", ["repair"]),
        (STRINGS, ("a", "b"), ["a", "b"]),
        (["null", STRINGS], "repair", ["repair"]),
        (["null", STRINGS], None, None),
        ([STRINGS, "string"], "as it is", "as it is"),
        (DATE, "2026-03-15", date(2026, 3, 15)),
        (DATE, date(2026, 3, 15), date(2026, 3, 15)),
        (INSTANT, "2026-03-15T13:00:00+01:00", NOON),
        (INSTANT, datetime(2026, 3, 15, 13, tzinfo=timezone(timedelta(hours=1))), NOON),
        (DECIMAL, "1.25", Decimal("1.25")),
        (DECIMAL, 3, Decimal(3)),
        (IDENTITY, str(UUID(int=7)), UUID(int=7)),
        ({"type": "string", "logicalType": "date"}, "any text", "any text"),
        ({"type": "map", "values": DATE}, {"a": "2026-03-15"}, {"a": date(2026, 3, 15)}),
        (COLOUR, "RED", "RED"),
        (FIXED, b"four", b"four"),
        ("double", 1, 1),
        ("int", -(2**31), -(2**31)),
        ("long", 2**63 - 1, 2**63 - 1),
        ("null", None, None),
    ],
)
def test_json_values_are_converted_to_avro(schema: Any, value: Any, fitted: Any) -> None:
    """A publisher writes JSON as people do."""
    assert build_coercer(schema)(value) == fitted


@pytest.mark.parametrize(
    ("schema", "value", "why"),
    [
        ("boolean", "false", "is not a boolean"),
        ("boolean", 0, "is not a boolean"),
        ("string", 7, "is not a string"),
        ("int", True, "is not a whole number of 32 bits"),
        ("int", 2**31, "is not a whole number of 32 bits"),
        ("int", 1.0, "is not a whole number of 32 bits"),
        ("long", -(2**63) - 1, "is not a whole number of 64 bits"),
        ("double", "1.0", "is not a number"),
        ("double", True, "is not a number"),
        ("bytes", "text", "is not bytes"),
        ("null", 0, "is not null"),
        (STRINGS, {"a": 1}, "is not a list"),
        (STRINGS, [None], "is not a string"),
        ({"type": "array", "items": "int"}, "12", "is not a list"),
        ({"type": "map", "values": "int"}, [], "is not an object"),
        ({"type": "map", "values": "int"}, {1: 1}, "is not a string"),
        (COLOUR, "GREEN", "is not one of BLUE, RED"),
        (FIXED, b"five!", "is not 4 bytes"),
        (DATE, "2026-02-30", "is not a date such as 2026-03-15"),
        (DATE, "20260315", "is not a date such as 2026-03-15"),
        (DATE, NOON, "is not a date such as 2026-03-15"),
        (INSTANT, "2026-03-15T12:00:00", "is not an instant such as 2026-03-15T13:00:00Z"),
        (INSTANT, datetime(2026, 3, 15), "is not an instant such as 2026-03-15T13:00:00Z"),
        (INSTANT, 0, "is not an instant such as 2026-03-15T13:00:00Z"),
        (DECIMAL, 1.25, "is not a decimal number"),
        (DECIMAL, "NaN", "is not a decimal number"),
        (DECIMAL, "1,25", "is not a decimal number"),
        (IDENTITY, "7", "is not a UUID"),
        (["int", "string"], None, "fits no branch of its union"),
    ],
)
def test_json_values_of_another_type_are_refused(schema: Any, value: Any, why: str) -> None:
    """Nothing is guessed: a wrong `keep_consent` would keep a person's data for a year."""
    with pytest.raises(CoercionError) as refused:
        build_coercer(schema)(value)
    assert refused.value.why == why


INNER = {"type": "record", "name": "Inner", "fields": [{"name": "at", "type": DATE}]}
OUTER = {
    "type": "record",
    "name": "Outer",
    "namespace": "com.example",
    "fields": [
        {"name": "first", "type": INNER},
        {"name": "more", "type": {"type": "array", "items": "Inner"}, "default": []},
        {"name": "by_name", "type": {"type": "map", "values": "com.example.Inner"}, "default": {}},
    ],
}


def test_unknown_json_fields_are_ignored() -> None:
    """A publisher may know more than the schema."""
    value = {"first": {"at": "2026-03-15", "unknown": 1}, "also_unknown": {}}
    assert build_coercer(OUTER)(value) == {"first": {"at": date(2026, 3, 15)}}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({}, "first"),
        ({"first": {}}, "first.at"),
        ({"first": {"at": "2026-03-15"}, "more": [{"at": 1}]}, "more[].at"),
        ({"first": {"at": "2026-03-15"}, "by_name": {"a": {"at": 1}}}, "by_name[].at"),
        ({"first": {"at": "2026-03-15"}, "by_name": 1}, "by_name"),
    ],
)
def test_a_value_that_does_not_fit_is_reported_with_its_path(value: Any, path: str) -> None:
    """The path has field names alone: a map's keys may be personal data."""
    with pytest.raises(CoercionError) as refused:
        build_coercer(OUTER)(value)
    assert refused.value.path == path


def nested(type: Any) -> Any:
    return {"type": "record", "name": "R", "fields": [{"name": "x", "type": type}]}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": "null"},
        {"type": "array", "items": {"type": "fixed", "name": "None", "size": 0}},
        {"type": "array", "items": {"type": "record", "name": "E", "fields": []}},
        {"type": "array", "items": nested(nested("null") | {"name": "S"})},
        nested({"type": "map", "values": {"type": "array", "items": {"type": "null"}}}),
        nested(["null", "R"]),
        nested({"type": "array", "items": "R"}),
    ],
)
def test_a_schema_that_expands_few_bytes_to_much_is_refused(schema: Any) -> None:
    """Ten bytes must not fill the memory or the stack of a consumer."""
    with pytest.raises(ValueError, match=r"is recursive|take no bytes"):
        build_coercer(schema)


@pytest.mark.parametrize(
    "items", ["string", ["null", "int"], {"type": "array", "items": "int"}, nested("int"), COLOUR]
)
def test_arrays_whose_items_take_bytes_are_accepted(items: Any) -> None:
    """The test above does not refuse all arrays."""
    assert build_coercer({"type": "array", "items": items})([]) == []
