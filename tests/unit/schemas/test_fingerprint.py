"""Fingerprints, against the Avro specification's published ones and its algorithm written out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.schema_files import load
from tests.unit.schemas.values import FILES, definition, name_of, version_of

SCHEMAS = load()


def crc_64_avro(text: str) -> bytes:
    """Return CRC-64-AVRO bit by bit, little-endian as in single-object encoding."""
    remainder = 0xC15D213AA4D7A795
    for byte in text.encode():
        remainder ^= byte
        for _ in range(8):
            lowest = remainder & 1
            remainder >>= 1
            if lowest:
                remainder ^= 0xC15D213AA4D7A795
    return remainder.to_bytes(8, "little")


def canonical(schema: Any, namespace: str = "") -> str:
    """The Parsing Canonical Form, rule by rule, of schemas without escapes in their names."""
    if isinstance(schema, list):
        return f"[{','.join(canonical(branch, namespace) for branch in schema)}]"
    if isinstance(schema, str):
        plain = schema in ("null", "boolean", "int", "long", "bytes", "string")
        return json.dumps(schema if plain else f"{namespace}.{schema}")
    if "name" in schema:
        return canonical_named(schema, namespace)
    kind = schema["type"]
    for inner in ("items", "values"):
        if inner in schema:
            return f'{{"type":"{kind}","{inner}":{canonical(schema[inner], namespace)}}}'
    return canonical(kind, namespace)


def canonical_named(schema: Any, namespace: str) -> str:
    kind = schema["type"]
    namespace = schema.get("namespace", namespace)
    head = f'{{"name":"{namespace}.{schema["name"]}","type":"{kind}"'
    if kind == "enum":
        return f'{head},"symbols":{json.dumps(schema["symbols"], separators=(",", ":"))}}}'
    fields = ",".join(
        f'{{"name":"{field["name"]}","type":{canonical(field["type"], namespace)}}}'
        for field in schema["fields"]
    )
    return f'{head},"fields":[{fields}]}}'


@pytest.mark.parametrize(
    ("text", "published"),
    [
        ('"null"', 7195948357588979594),
        ('"boolean"', -6970731678124411036),
        ('"int"', 8247732601305521295),
        ('"long"', -3434872931120570953),
        ('"bytes"', 5746618253357095269),
        ('"string"', -8142146995180207161),
    ],
)
def test_the_fingerprint_in_these_tests_gives_the_published_values(
    text: str, published: int
) -> None:
    """The vectors of Avro's own test data, as signed 64-bit numbers."""
    assert int.from_bytes(crc_64_avro(text), "little", signed=True) == published


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_fingerprint_is_that_of_the_canonical_form(file: Path) -> None:
    """Every Avro reader finds the schema by the same eight bytes."""
    versions = {schema.version: schema for schema in SCHEMAS.versions(name_of(file))}
    assert versions[version_of(file)].fingerprint == crc_64_avro(canonical(definition(file)))


def test_the_canonical_form_of_a_small_schema() -> None:
    """Written by hand, so that two faults cannot cancel out."""
    (file,) = (file for file in FILES if file.stem == "suppliers.supplier-ended.1")
    expected = (
        '{"name":"nl.termijn.business.suppliers.SupplierEnded","type":"record",'
        '"fields":[{"name":"supplier_id","type":"string"}]}'
    )
    assert canonical(definition(file)) == expected
