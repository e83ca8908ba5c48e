"""Keys are version 5 UUIDs, the same wherever they are computed."""

from __future__ import annotations

from uuid import UUID, uuid5

from services.ledger.keys import clock_id, event_id, named, record_id
from services.policy.tagging import ClockKey


def test_ids_are_what_the_standard_says() -> None:
    """Of a namespace each, with the parts kept apart by a null."""
    space = "5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c0"
    assert event_id("/crm", "é1") == uuid5(UUID(space + "1"), "/crm\0é1")
    assert record_id("/crm", "1", "customer:2") == uuid5(UUID(space + "2"), "/crm\x001\0customer:2")
    clock = ClockKey(clock="ticket", key="7")
    assert clock_id(clock) == uuid5(UUID(space + "3"), "ticket\x007")


def test_a_clock_is_named_with_its_parent() -> None:
    """By kind and key of both."""
    parent = ClockKey(clock="supplier", key="s")
    child = ClockKey(clock="supplier-contact", key="s/c", parent=parent)
    assert named("supplier-contact", "s/c", "supplier", "s") == (clock_id(child), child)
    assert named("supplier", "s", None, "") == (clock_id(parent), parent)
