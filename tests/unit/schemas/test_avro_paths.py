"""The leaves of a schema: every place of an event that holds a value."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.avro_paths import field_paths
from schemas.schema_files import load


def test_the_field_paths_of_an_order_are_those_of_its_schema() -> None:
    """Inside records and lists too; optional fields are included."""
    leaves = {
        leaf.path: leaf.is_text
        for leaf in field_paths(load().newest("orders.order-placed").definition)
    }
    assert leaves == {
        "order_id": True,
        "customer_id": True,
        "consumer_id": True,
        "amount": True,
        "payment.method": True,
        "payment.transaction_id": True,
        "payment.iban": True,
        "payment.account_holder": True,
        "consumer_name": True,
        "consumer_email": True,
        "consumer_phone": True,
        "delivery_address.street": True,
        "delivery_address.postcode": True,
        "delivery_address.city": True,
        "delivery_address.country": True,
        "received_at": False,
        "lines[].product": True,
        "lines[].quantity": False,
        "lines[].amount": True,
        "lines[].discount": True,
        "remarks": True,
        "placed_through": True,
    }


@pytest.mark.parametrize(
    ("kind", "path", "is_text"),
    [
        ({"type": "string", "logicalType": "uuid"}, "f", False),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, "f", False),
        (["null", "string", "int"], "f", False),
        ({"type": "map", "values": "string"}, "f{}", True),
        ({"type": "array", "items": {"type": "array", "items": "string"}}, "f[][]", True),
        ("R", "f", False),
    ],
)
def test_only_plain_strings_count_as_text(kind: Any, path: str, is_text: bool) -> None:
    """A token is text: in other types it would not fit."""
    record = {"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}
    assert [(leaf.path, leaf.is_text) for leaf in field_paths(record)] == [(path, is_text)]


def test_field_paths_include_named_types_wherever_they_are_used() -> None:
    """Avro defines a record once and names it after that."""
    inner = {"type": "record", "name": "I", "fields": [{"name": "x", "type": "string"}]}
    fields = [{"name": "a", "type": inner}, {"name": "b", "type": ["null", "I"]}]
    record = {"type": "record", "name": "R", "fields": fields}
    assert [leaf.path for leaf in field_paths(record)] == ["a.x", "b.x"]
