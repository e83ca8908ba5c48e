"""The bytes, against avro-python3: an implementation of Avro that shares no code with Termijn.

It knows no logical types: dates and instants are days and microseconds since 1970 to it.
"""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import Codec
from schemas.schema_files import load
from tests.effort import SLOW
from tests.unit.schemas.values import (
    FILES,
    MINIMAL,
    definition,
    name_of,
    newest_files,
    physical,
    topic_of,
    values,
    version_of,
)

FEW = settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
SCHEMAS = load()
CODEC = Codec(SCHEMAS)
FRAME = 10
ORDERS = topic_of("orders.order-placed")
every_schema = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
newest_schemas = pytest.mark.parametrize("file", newest_files(), ids=lambda file: file.stem)


@cache
def oracle_schema(file: Path) -> Any:
    return avro.schema.parse(json.dumps(definition(file)))


def oracle_reads(payload: bytes, written: Path, read: Path) -> Any:
    reader = avro.io.DatumReader(oracle_schema(written), oracle_schema(read))
    return reader.read(avro.io.BinaryDecoder(io.BytesIO(payload)))


def oracle_writes(value: Any, file: Path) -> bytes:
    body = io.BytesIO()
    avro.io.DatumWriter(oracle_schema(file)).write(value, avro.io.BinaryEncoder(body))
    return body.getvalue()


def fingerprint(file: Path) -> bytes:
    versions = {schema.version: schema for schema in SCHEMAS.versions(name_of(file))}
    return versions[version_of(file)].fingerprint


@newest_schemas
@FEW
@given(data=st.data())
def test_the_oracle_reads_what_the_codec_writes(file: Path, data: st.DataObject) -> None:
    """Every value of every schema arrives as it was sent."""
    value = data.draw(values(definition(file)))
    payload = CODEC.encode(topic_of(name_of(file)), value)
    assert oracle_reads(payload[FRAME:], file, file) == physical(value)


@newest_schemas
@FEW
@given(data=st.data())
def test_unchecked_values_take_the_same_bytes(file: Path, data: st.DataObject) -> None:
    """`own` saves the checks and changes nothing else."""
    value = data.draw(values(definition(file)))
    topic = topic_of(name_of(file))
    assert CODEC.encode(topic, value, trusted=True) == CODEC.encode(topic, value)


def without_later_fields(decoded: Any, value: Any) -> Any:
    """Return a decoded value without the fields that an older version lacks, which are absent."""
    if isinstance(value, list):
        return [without_later_fields(*pair) for pair in zip(decoded, value, strict=True)]
    if not isinstance(value, dict) or not isinstance(decoded, dict):
        return decoded
    later = {key: decoded[key] for key in decoded.keys() - value.keys()}
    assert not any(later.values()), later
    return {key: without_later_fields(decoded[key], value[key]) for key in value}


@every_schema
@FEW
@given(data=st.data())
def test_the_codec_reads_what_the_oracle_writes(file: Path, data: st.DataObject) -> None:
    """Any version is read, and what it lacks of the newest is absent."""
    value = data.draw(values(definition(file)))
    payload = b"\xc3\x01" + fingerprint(file) + oracle_writes(physical(value), file)
    decoded = CODEC.decode(topic_of(name_of(file)), payload)
    assert without_later_fields(decoded, value) == value


@FEW
@given(data=st.data())
def test_the_first_version_of_an_order_reads_the_second(data: st.DataObject) -> None:
    """The oracle agrees: a reader with the older version loses the new field and nothing else."""
    first, second = (file for file in FILES if name_of(file) == "orders.order-placed")
    value = data.draw(values(definition(second)))
    decoded = oracle_reads(CODEC.encode(ORDERS, value)[FRAME:], second, first)
    assert decoded == {
        k: physical(field_value) for k, field_value in value.items() if k != "placed_through"
    }


@pytest.mark.parametrize("name", MINIMAL)
def test_an_event_can_be_published_with_its_decision_fields_alone(name: str) -> None:
    """All other data of a process may be absent."""
    topic = topic_of(name)
    decoded = CODEC.decode(topic, CODEC.encode(topic, MINIMAL[name]))
    assert {
        key: {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value
        for key, value in decoded.items()
        if value is not None
    } == MINIMAL[name]


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name, fields in MINIMAL.items() for key in fields]
)
def test_decision_fields_have_no_default(name: str, key: str) -> None:
    """A required deciding field cannot be forgotten; an alternative is nullable, and null if absent."""
    alternatives = {
        "contact.message-received": {"visitor_id"},
        "contact.message-resolved": {"customer_id"},
        "credit.check-performed": {"supplier_id", "contact_id"},
        "research.survey-answered": {"visitor_id"},
        "research.survey-invited": {"customer_id"},
    }
    fields = {field["name"]: field for field in SCHEMAS.newest(name).definition["fields"]}
    if key in alternatives.get(name, ()):
        assert fields[key]["type"] == ["null", "string"]
        assert fields[key]["default"] is None
    else:
        assert "default" not in fields[key]
