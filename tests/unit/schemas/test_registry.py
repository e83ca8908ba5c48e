"""The Confluent wire format, on the client's own mock registry (which checks no compatibility)."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.codec import Codec
from schemas.errors import DecodingFailed, IncompatibleSchema, RegistryUnavailable, UnknownSchema
from schemas.registry import Registry
from schemas.schema_files import load
from schemas.topics import business_topic
from tests.effort import SLOW
from tests.unit.schemas.values import FILES, MINIMAL, definition, name_of

SCHEMAS = load()
PLAIN = Codec(SCHEMAS)
ORDERS = business_topic("orders.order-placed")
ENDED = business_topic("suppliers.supplier-ended")


@pytest.fixture
def client() -> SchemaRegistryClient:
    return SchemaRegistryClient.new_client({"url": "mock://x"})


@pytest.fixture
def codec(client: SchemaRegistryClient) -> Codec:
    return Codec(SCHEMAS, Registry(client))


def test_with_a_registry_a_message_begins_with_its_schema_id(codec: Codec) -> None:
    """A zero byte and the id in four bytes, big-endian."""
    assert codec.register(ENDED) == 1
    assert codec.encode(ENDED, {"supplier_id": "L1"}) == b"\x00\x00\x00\x00\x01\x04L1"


def test_all_versions_are_registered_oldest_first(
    codec: Codec, client: SchemaRegistryClient
) -> None:
    """The registry has the history that readers must support."""
    assert codec.register(ORDERS) == 2
    assert client.get_subjects() == ["orders.order-placed.v1-value"]
    assert "placed_through" not in str(client.get_schema(1).schema_str)
    assert "placed_through" in str(client.get_schema(2).schema_str)


def test_registering_again_changes_nothing(codec: Codec) -> None:
    """It may be part of every deployment."""
    codec.register(ORDERS)
    assert codec.register(ORDERS) == 2


def test_encoding_registers_no_schema(codec: Codec, client: SchemaRegistryClient) -> None:
    """A producer's mistake never becomes a schema for all readers."""
    with pytest.raises(UnknownSchema):
        codec.encode(ORDERS, MINIMAL["orders.order-placed"])
    assert client.get_subjects() == []


def test_registering_without_a_registry_fails() -> None:
    """It ends with an error, instead of seeming to work."""
    with pytest.raises(UnknownSchema, match="no schema registry is configured"):
        PLAIN.register(ORDERS)


def test_with_a_registry_both_encodings_are_read(codec: Codec) -> None:
    """A registry can be introduced while single-object messages are in the log."""
    codec.register(ENDED)
    for payload in (
        PLAIN.encode(ENDED, {"supplier_id": "L1"}),
        codec.encode(ENDED, {"supplier_id": "L1"}),
    ):
        assert codec.decode(ENDED, payload) == {"supplier_id": "L1"}


def test_an_older_version_by_id_is_resolved_to_the_newest(codec: Codec) -> None:
    """A publisher with the older version is understood; the new field is absent."""
    codec.register(ORDERS)
    older = PLAIN.encode(ORDERS, MINIMAL["orders.order-placed"])[10:-1]
    assert codec.decode(ORDERS, b"\x00\x00\x00\x00\x01" + older)["placed_through"] is None


def changed(**changes: Any) -> str:
    (file,) = (file for file in FILES if name_of(file) == "suppliers.supplier-ended")
    schema = definition(file)
    schema["fields"].append({"name": "added", "type": "string", **changes})
    return json.dumps(schema)


def test_a_version_that_is_only_in_the_registry_is_read(
    codec: Codec, client: SchemaRegistryClient
) -> None:
    """A publisher may have a newer version: unknown fields are skipped."""
    client.register_schema("any", Schema(changed(), "AVRO"))
    assert codec.decode(ENDED, b"\x00\x00\x00\x00\x01\x04L1\x02?") == {"supplier_id": "L1"}


@pytest.mark.parametrize("type", ["string", {"type": "array", "items": "string"}, "double"])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_truncated_unknown_field_is_detected(
    codec: Codec, client: SchemaRegistryClient, type: Any, missing: int
) -> None:
    """Fields that this version does not know must be complete as well."""
    client.register_schema("any", Schema(changed(type=type), "AVRO"))
    added = {"string": b"\x06abc", "double": bytes(8)}.get(str(type), b"\x02\x06abc\x00")
    whole = b"\x00\x00\x00\x00\x01\x04L1" + added
    assert codec.decode(ENDED, whole) == {"supplier_id": "L1"}
    with pytest.raises(DecodingFailed, match="ends too early"):
        codec.decode(ENDED, whole[:-missing])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it cannot be used"),
        ('"string"', "it is not a record"),
        (changed().replace('"supplier_id"', '"vendor_id"'), "is not written and has no default"),
        (changed().replace("SupplierEnded", "SupplierLeft"), "suppliers.SupplierLeft"),
    ],
)
def test_an_unreadable_schema_of_the_registry_is_reported(
    codec: Codec, client: SchemaRegistryClient, text: str, why: str
) -> None:
    """The message is parked, whatever was registered."""
    client.register_schema("any", Schema(text, "AVRO"))
    for _ in range(2):
        with pytest.raises(DecodingFailed, match=why):
            codec.decode(ENDED, b"\x00\x00\x00\x00\x01\x04L1\x02?")


def test_a_logical_type_that_changed_in_the_registry_is_refused(
    codec: Codec, client: SchemaRegistryClient
) -> None:
    """Milliseconds are not read as microseconds, although their fingerprints are equal."""
    (file,) = (file for file in FILES if file.stem == "orders.order-placed.2")
    text = json.dumps(definition(file)).replace("timestamp-micros", "timestamp-millis")
    client.register_schema("any", Schema(text, "AVRO"))
    datum = PLAIN.encode(ORDERS, MINIMAL["orders.order-placed"])[10:]
    with pytest.raises(
        DecodingFailed, match="logicalType timestamp-millis is not timestamp-micros"
    ):
        codec.decode(ORDERS, b"\x00\x00\x00\x00\x01" + datum)


def test_an_unregistered_schema_id_is_undecodable(codec: Codec) -> None:
    """An id that no registry could assign is undecodable too."""
    for frame in (b"\x00\x00\x00\x00\x07", b"\x00\xff\xff\xff\xff"):
        with pytest.raises(DecodingFailed, match="which the registry does not have"):
            codec.decode(ENDED, frame)


def test_an_unknown_schema_id_is_requested_again(
    codec: Codec, client: SchemaRegistryClient
) -> None:
    """A message that was parked too early can be replayed."""
    with pytest.raises(DecodingFailed):
        codec.decode(ENDED, b"\x00\x00\x00\x00\x01\x04L1")
    codec.register(ENDED)
    assert codec.decode(ENDED, b"\x00\x00\x00\x00\x01\x04L1") == {"supplier_id": "L1"}


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=(*SLOW, HealthCheck.function_scoped_fixture),
)
@given(id=st.integers(0, 3), datum=st.binary(max_size=200))
def test_any_bytes_after_a_schema_id_are_a_value_or_undecodable(
    codec: Codec, id: int, datum: bytes
) -> None:
    """No bytes stop a consumer, in this encoding either, nor where fields are skipped."""
    codec.register(ORDERS)
    with suppress(DecodingFailed):
        codec.decode(ORDERS, b"\x00\x00\x00\x00" + bytes([id]) + datum)


class Broken(SchemaRegistryClient):
    """A registry that is there and fails."""

    def __init__(self, cause: Exception) -> None:
        self._cause = cause

    def get_schema(self, *_: Any, **__: Any) -> Any:
        raise self._cause

    lookup_schema = register_schema = get_schema

    def __del__(self) -> None:
        """Nothing was opened."""


@pytest.mark.parametrize(
    "cause", [ConnectionError("refused"), SchemaRegistryError(500, 50001, "down")]
)
def test_a_failing_registry_never_parks_a_message(cause: Exception) -> None:
    """A valid message must not become a dead letter because a server is down."""
    codec = Codec(SCHEMAS, Registry(Broken(cause)))
    with pytest.raises(RegistryUnavailable):
        codec.decode(ENDED, b"\x00\x00\x00\x00\x01\x04L1")
    with pytest.raises(RegistryUnavailable):
        codec.encode(ENDED, {"supplier_id": "L1"})
    with pytest.raises(RegistryUnavailable):
        codec.register(ENDED)


def test_a_refusal_of_the_registry_is_reported_as_such() -> None:
    """It did answer: another try would not help."""
    cause = SchemaRegistryError(409, 409, "Schema being registered is incompatible")
    with pytest.raises(IncompatibleSchema, match=r"v1-value: refused: Schema being"):
        Codec(SCHEMAS, Registry(Broken(cause))).register(ORDERS)
