"""The doctor's check of a schema registry, without one: each difference, with what fixes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.errors import RegistryUnavailable, UnknownSchema
from schemas.registry import RegisteredSchema
from schemas.schema_files import load
from schemas.topics import business_topic
from services.operations.doctor.findings import Finding
from services.operations.doctor.registry import check_registry

SCHEMAS = load()
ORDERS = business_topic("orders.order-placed")
FIRST, SECOND = SCHEMAS.versions(ORDERS.schema)


@dataclass(kw_only=True)
class Kept:
    """A registry with some versions of the orders' schema, numbered from 1."""

    texts: Sequence[str]
    level: str = "FULL_TRANSITIVE"
    asked: list[str] = field(default_factory=list)

    def find_id(self, topic: str, text: str) -> int:
        self.asked.append(topic)
        if text not in self.texts:
            raise UnknownSchema(topic, "is not registered")
        return 70 + self.texts.index(text)

    def list_versions(self, topic: str) -> Sequence[RegisteredSchema]:
        return [
            RegisteredSchema(version=n + 1, id=70 + n, text=text)
            for n, text in enumerate(self.texts)
        ]

    def get_compatibility(self, topic: str) -> str:
        return self.level


class Silent(Kept):
    """A registry that is down."""

    def find_id(self, topic: str, text: str) -> int:
        self.asked.append(topic)
        raise RegistryUnavailable(request=topic, why="connection refused")


def check(registry: Kept) -> list[Finding]:
    return list(check_registry(registry, [(ORDERS, (FIRST, SECOND))] * 2))[:1]


def changed(name: str, **field: object) -> str:
    """Return the second version of the schema with one field more."""
    definition = json.loads(SECOND.text)
    definition["fields"].append({"name": name, **field})
    return json.dumps(definition)


def test_a_registry_that_agrees_is_ok() -> None:
    """All topics are in one line."""
    [finding] = check_registry(
        Kept(texts=[FIRST.text, SECOND.text]), [(ORDERS, (FIRST, SECOND))] * 2
    )
    assert (finding.state, finding.problem) == (
        "ok",
        "2 topics are registered with their schemas, FULL_TRANSITIVE",
    )


def test_a_version_that_is_not_registered_is_a_fault() -> None:
    """Its file is named, since nothing could be written with it."""
    [finding] = check(Kept(texts=[FIRST.text]))
    assert (finding.state, finding.target) == ("error", "orders.order-placed.v1")
    assert finding.problem == "orders.order-placed.2.avsc is not registered"
    assert finding.fix == "`termijn schemas register`"


def test_an_unknown_version_that_can_be_read_is_a_warning() -> None:
    """A publisher may have a newer version."""
    ahead = changed("more", type=["null", "string"], default=None)
    [finding] = check(Kept(texts=[FIRST.text, SECOND.text, ahead]))
    assert finding.state == "warning"
    assert finding.problem == "version 3 (id 72) has no schema file but can be read"


def test_an_unknown_version_that_cannot_be_read_is_a_fault() -> None:
    """Events that are written with it would be parked."""
    other = SECOND.text.replace('"order_id"', '"number"')
    [finding] = check(Kept(texts=[FIRST.text, SECOND.text, other]))
    assert finding.state == "error"
    assert finding.problem.endswith("parked: order_id: is not written and has no default")


def test_a_version_that_is_not_a_schema_is_a_fault() -> None:
    """It is reported, and the check continues."""
    [finding] = check(Kept(texts=[FIRST.text, SECOND.text, "{"]))
    assert (
        finding.state,
        finding.problem.endswith("and is not a valid schema: JSONDecodeError"),
    ) == (
        "error",
        True,
    )


def test_a_compatibility_level_that_may_break_readers_is_a_warning() -> None:
    """Registering sets it."""
    [finding] = check(Kept(texts=[FIRST.text, SECOND.text], level="BACKWARD"))
    assert finding.state == "warning"
    assert finding.problem.startswith("compatibility is BACKWARD but must be FULL_TRANSITIVE")


def test_an_unreachable_registry_is_reported_once() -> None:
    """It is not reported for each topic, and not asked again."""
    silent = Silent(texts=[])
    [finding] = check_registry(silent, [(ORDERS, (FIRST, SECOND))] * 2)
    assert finding.state == "error"
    assert "SCHEMA_REGISTRY_URL" in finding.fix
    assert silent.asked == [ORDERS.name]
