"""Compatibility: every version reads every other, and the check finds each way in which one cannot."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.compatibility import Incompatibility, find_incompatibilities
from tests.unit.schemas.values import FILES, definition, name_of, newest_files, version_of


def record(*fields: Any, name: str = "E") -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "n", "fields": list(fields)}


def field(type: Any, name: str = "x", **fields: Any) -> dict[str, Any]:
    return {"name": name, "type": type, **fields}


MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
COLOUR = {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}
NEW, OLD = "version 2 cannot read version 1", "version 1 cannot read version 2"


@pytest.mark.parametrize("name", [name_of(file) for file in newest_files()])
def test_the_versions_of_a_shipped_schema_read_each_other(name: str) -> None:
    """Full and transitive: publishers and readers may be deployed in any order."""
    versions = {version_of(file): definition(file) for file in FILES if name_of(file) == name}
    assert find_incompatibilities(versions) == []


def test_a_shipped_schema_has_two_versions_that_differ() -> None:
    """Otherwise the test of compatibility would compare nothing."""
    orders = [file for file in FILES if name_of(file) == "orders.order-placed"]
    first, second = map(definition, sorted(orders, key=version_of))
    added = {field["name"] for field in second["fields"]} - {
        field["name"] for field in first["fields"]
    }
    assert added == {"placed_through"}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param(
            record(),
            record(field("string")),
            [f"{NEW}: x: is not written and has no default"],
            id="added without default",
        ),
        pytest.param(
            record(field("string")),
            record(),
            [f"{OLD}: x: is not written and has no default"],
            id="removed without default",
        ),
        pytest.param(
            record(field("string", aliases=["y"])),
            record(field("string", "y")),
            [
                f"{OLD}: x: is not written and has no default",
                f"{NEW}: y: is not written and has no default",
            ],
            id="renamed",
        ),
        pytest.param(
            record(field("string")),
            record(field("int")),
            [f"{OLD}: x: int became string", f"{NEW}: x: string became int"],
            id="other type",
        ),
        pytest.param(
            record(field("int")),
            record(field("long")),
            [f"{OLD}: x: long became int"],
            id="promotion, one way",
        ),
        pytest.param(
            record(field("bytes")),
            record(field("string")),
            [f"{OLD}: x: string became bytes", f"{NEW}: x: bytes became string"],
            id="bytes are not text",
        ),
        pytest.param(
            record(field("string")),
            record(field(["null", "string"])),
            [f"{OLD}: x: takes no null"],
            id="made nullable",
        ),
        pytest.param(
            record(field(["null", "string"])),
            record(field(["null", "string", "int"])),
            [f"{OLD}: x: takes no int"],
            id="branch added",
        ),
        pytest.param(
            record(field(MICROS)),
            record(field(MILLIS)),
            [
                f"{OLD}: x: logicalType timestamp-millis is not timestamp-micros",
                f"{NEW}: x: logicalType timestamp-micros is not timestamp-millis",
            ],
            id="other logical type",
        ),
        pytest.param(
            record(field(["null", "long"])),
            record(field(["null", MICROS])),
            [
                f"{OLD}: x: logicalType timestamp-micros is not None",
                f"{NEW}: x: logicalType None is not timestamp-micros",
            ],
            id="logical type added inside a union",
        ),
        pytest.param(
            record(field(DECIMAL)),
            record(field({**DECIMAL, "scale": 3})),
            [f"{OLD}: x: scale 3 is not 2", f"{NEW}: x: scale 2 is not 3"],
            id="other scale",
        ),
        pytest.param(
            record(field(COLOUR)),
            record(field({**COLOUR, "symbols": ["RED"]})),
            [f"{NEW}: x: knows no symbol BLUE and has no default"],
            id="symbol removed",
        ),
        pytest.param(
            record(field({"type": "fixed", "name": "F", "size": 4})),
            record(field({"type": "fixed", "name": "F", "size": 8})),
            [f"{OLD}: x: size 8 is not 4", f"{NEW}: x: size 4 is not 8"],
            id="other size",
        ),
        pytest.param(
            record(field({"type": "array", "items": {"type": "map", "values": "string"}})),
            record(field({"type": "array", "items": {"type": "map", "values": "boolean"}})),
            [f"{OLD}: x[][]: boolean became string", f"{NEW}: x[][]: string became boolean"],
            id="inside an array and a map",
        ),
        pytest.param(
            record(field(record(field("string"), name="Inner"), "in")),
            record(field(record(field("string"), field("int", "y"), name="Inner"), "in")),
            [f"{NEW}: in.y: is not written and has no default"],
            id="inside a record",
        ),
        pytest.param(
            record(),
            record(name="F"),
            [f"{OLD}: .: n.F became n.E", f"{NEW}: .: n.E became n.F"],
            id="other name",
        ),
        pytest.param(
            record(field(record(field("string"), name="I"), "a"), field("I", "b")),
            record(field(record(field("string"), name="I"), "a"), field("n.I", "b")),
            [],
            id="a name, and the same in full",
        ),
        pytest.param(
            record(field("string")),
            record(field({"type": "string"}), field(["null", MICROS], "y", default=None)),
            [],
            id="nullable field added",
        ),
        pytest.param(
            record(field({**COLOUR, "default": "RED"})),
            record(field({**COLOUR, "symbols": ["RED", "BLUE", "GREEN"], "default": "RED"})),
            [],
            id="symbol added, with a default",
        ),
    ],
)
def test_each_kind_of_incompatible_change_is_found(
    first: Any, second: Any, expected: list[str]
) -> None:
    """It is named with its path, for each direction that breaks."""
    assert [str(problem) for problem in find_incompatibilities({1: first, 2: second})] == expected


def test_versions_that_are_not_neighbours_are_compared_too() -> None:
    """A field that goes and comes back as another type breaks the first and the last."""
    gone = record()
    first = record(field(["null", "string"], default=None))
    last = record(field(["null", "int"], default=None))
    assert find_incompatibilities({1: first, 2: gone, 5: last}) == [
        Incompatibility(reader=1, writer=5, path="x", why="takes no int"),
        Incompatibility(reader=5, writer=1, path="x", why="takes no string"),
    ]


def test_a_recursive_schema_is_compared_too() -> None:
    """The comparison ends."""
    tree = record(field(["null", "E"], default=None))
    assert find_incompatibilities({1: tree, 2: tree}) == []
