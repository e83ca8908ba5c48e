"""Avro schemas that follow from a policy: all versions read each other, and files say the same."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Codec
from schemas.compatibility import find_incompatibilities
from schemas.errors import InvalidSchema
from schemas.schema_files import load
from schemas.schema_versions import SchemaSet
from schemas.topics import business_topic
from services.events.derived_schemas import (
    compare_schemas,
    derive_schema,
    derive_schemas,
    next_versions,
)
from services.policy import loader
from services.policy.event_type import EventType, Field
from services.policy.model import Policy
from tests.unit.policy.small import SMALL

POLICY = loader.load_text(SMALL, "small.yaml")
JOINED = "club.member-joined"
NOW = datetime(2026, 3, 15, 13, tzinfo=UTC)


def event(**fields: Field) -> EventType:
    return EventType(process="a", fields=fields)


def policy_with(**fields: Field) -> Policy:
    """The small policy with one event type that ends memberships, and these fields besides."""
    kind = POLICY.events[next(iter(POLICY.events))]
    return replace(POLICY, events={JOINED: replace(kind, fields={**kind.fields, **fields})})


def codec(policy: Policy) -> Codec:
    return Codec(load(derived=derive_schemas(policy)))


def encode(policy: Policy, **data: Any) -> bytes:
    return codec(policy).encode(business_topic(JOINED), data)


def test_each_field_may_be_null() -> None:
    """The policy, not Avro, demands a field; nothing but the fields is in the schema."""
    kind = event(
        order_id=Field(), gift=Field(type="boolean"), tags=Field(type="strings", required=False)
    )
    assert derive_schema("shop.web.order-placed", kind) == {
        "type": "record",
        "name": "order_placed",
        "namespace": "termijn.events.shop.web",
        "fields": [
            {"name": "order_id", "type": ["null", "string"], "default": None},
            {"name": "gift", "type": ["null", "boolean"], "default": None},
            {
                "name": "tags",
                "type": ["null", {"type": "array", "items": "string"}],
                "default": None,
            },
        ],
    }


@given(
    *(
        st.lists(st.sampled_from("abcdef"), unique=True).map(
            lambda names: event(**{name: Field(required=name < "c") for name in names})
        )
        for _ in range(2)
    )
)
def test_fields_may_be_added_removed_and_moved(before: EventType, after: EventType) -> None:
    """Each version reads the other."""
    versions = {1: derive_schema("a.b", before), 2: derive_schema("a.b", after)}
    assert find_incompatibilities(versions) == []


def test_a_policy_is_enough_for_the_codec() -> None:
    """What is written without any file can be read."""
    policy = policy_with(note=Field(required=False))
    payload = encode(policy, client_id="C1", note="x")
    assert codec(policy).decode(business_topic(JOINED), payload)["note"] == "x"


def test_written_files_are_the_schemas_that_the_codec_derives(tmp_path: Path) -> None:
    """A message that was written without files is the same as with them."""
    policy = policy_with(note=Field(required=False))
    for (name, version), definition in next_versions(policy, load()).items():
        (tmp_path / f"{name}.{version}.avsc").write_text(json.dumps(definition), "utf-8")
    from_files = Codec(load(tmp_path))
    data = {"client_id": "C1", "note": "x"}
    assert from_files.encode(business_topic(JOINED), data) == encode(policy, **data)


def test_a_file_counts_and_messages_from_before_it_are_read(tmp_path: Path) -> None:
    """A company that begins with YAML only, and writes a schema file of its own later."""
    policy = policy_with()
    definition: dict[str, Any] = dict(derive_schemas(policy)[JOINED])
    definition["fields"] = [
        *definition["fields"],
        {"name": "address", "type": ["null", "string"], "default": None},
    ]
    (tmp_path / f"{JOINED}.1.avsc").write_text(json.dumps(definition), "utf-8")
    with_file = Codec(load(tmp_path, derived=derive_schemas(policy)))
    value = with_file.decode(business_topic(JOINED), encode(policy, client_id="C1"))
    assert value["address"] is None


def test_two_types_with_one_name_in_avro_are_refused() -> None:
    """Their messages could be taken for each other's."""
    kind = event(a=Field())
    names = ("shop.order-placed", "shop.order_placed")
    with pytest.raises(InvalidSchema, match=r"order_placed is taken: .* of shop\.order-placed"):
        load(derived={name: derive_schema(name, kind) for name in names})


def test_a_file_that_lacks_a_field_gets_another_version() -> None:
    """Its other fields stay as they are; the new one is at the end and may be null."""
    feedback = "website.feedback-given"
    shipped = loader.load()
    kind = shipped.events[feedback]
    policy = replace(
        shipped, events={feedback: replace(kind, fields={**kind.fields, "shop": Field()})}
    )
    schemas = load()
    [((name, version), definition)] = next_versions(policy, schemas).items()
    assert (name, version) == (feedback, 2)
    former = schemas.newest(feedback).definition
    assert definition["fields"][:-1] == former["fields"]
    assert definition["fields"][-1] == {"name": "shop", "type": ["null", "string"], "default": None}
    assert find_incompatibilities({1: former, 2: definition}) == []


def test_the_shipped_schemas_fit_the_shipped_policy() -> None:
    """Nothing is missing, and nothing has another type."""
    shipped = loader.load()
    assert next_versions(shipped, load()) == {}
    assert list(compare_schemas(shipped, load())) == []


@pytest.mark.parametrize(
    ("avro", "fitting"),
    [
        ("string", {"string", "strings"}),
        (["null", "string"], {"string", "strings"}),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, {"string"}),
        ({"type": "string", "logicalType": "uuid"}, set()),
        ("boolean", {"boolean"}),
        (["null", {"type": "array", "items": "string"}], {"strings"}),
        ({"type": "array", "items": "boolean"}, set()),
        ("long", set()),
        (["string", "boolean"], set()),
        ("null", set()),
    ],
)
def test_a_type_fits_if_all_its_values_do(avro: Any, fitting: set[str]) -> None:
    """A misfit would park every event that has a value."""
    definition = {"type": "record", "name": "n", "fields": [{"name": "f", "type": avro}]}
    schemas = load(derived={JOINED: definition})
    fits = {
        kind
        for kind in ("string", "boolean", "strings")
        if not list(compare_schemas(_policy_of_field(Field(type=kind)), schemas))
    }
    assert fits == fitting


def _policy_of_field(field: Field) -> Policy:
    return replace(POLICY, events={JOINED: event(f=field)})


@pytest.mark.parametrize(
    ("field", "effect"),
    [(Field(), "every event would be parked"), (Field(required=False), "no event has it")],
)
def test_a_field_that_a_schema_lacks_is_named_with_the_effect(field: Field, effect: str) -> None:
    schemas: SchemaSet = load(derived={JOINED: derive_schema(JOINED, event())})
    [problem] = compare_schemas(_policy_of_field(field), schemas)
    assert problem == (("events", JOINED, "fields", "f"), f"is not in {JOINED}.1.avsc: {effect}")
