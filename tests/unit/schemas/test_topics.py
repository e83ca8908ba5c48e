"""The topics, and the schemas that they carry."""

from __future__ import annotations

import pytest

from schemas.schema_files import load
from schemas.topics import (
    BUSINESS_TYPES,
    DEAD_LETTERS,
    EVIDENCE_HEADS,
    TAGGED,
    Topic,
    acknowledgement_topic,
    business_topic,
    command_topic,
)
from tests.unit.schemas.values import FILES, MINIMAL, name_of

DAY_MS = 86_400_000


def test_the_business_types_are_those_that_ship_a_schema() -> None:
    """The list, the files and the events that the tests can write are the same."""
    files = {name_of(file) for file in FILES if file.parent.name == "business"}
    assert set(BUSINESS_TYPES) == files == set(MINIMAL)
    assert list(BUSINESS_TYPES) == sorted(BUSINESS_TYPES)


@pytest.mark.parametrize(
    ("topic", "name", "schema", "partitions"),
    [
        (business_topic("orders.order-placed"), "orders.order-placed.v1", "orders.order-placed", 6),
        (TAGGED, "retention.tagged.v1", "tagged", 6),
        (DEAD_LETTERS, "retention.dead-letters.v1", "dead-letter", 1),
        (EVIDENCE_HEADS, "retention.evidence-heads.v1", "evidence-head", 1),
        (command_topic("crm"), "retention.commands.crm.v1", "command", 3),
        (acknowledgement_topic("psp"), "retention.acks.psp.v1", "acknowledgement", 3),
    ],
)
def test_a_topic_has_its_name_and_a_schema_that_ships(
    topic: Topic, name: str, schema: str, partitions: int
) -> None:
    """Names are the contract with every publisher and every system."""
    assert (topic.name, topic.schema, topic.partitions) == (name, schema, partitions)
    assert load().newest(topic.schema).name == schema


@pytest.mark.parametrize(
    "topic",
    [
        business_topic("a.b"),
        TAGGED,
        DEAD_LETTERS,
        command_topic("crm"),
        acknowledgement_topic("crm"),
    ],
)
def test_no_topic_is_kept_longer_than_the_shortest_month(topic: Topic) -> None:
    """The log holds personal data: an applicant's must be gone a month after the procedure."""
    assert topic.retention_ms is not None
    assert topic.retention_ms <= 28 * DAY_MS
    assert topic.cleanup == "delete"
