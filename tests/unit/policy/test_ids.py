"""Ids are UUIDs made of names, the same wherever they are computed."""

from __future__ import annotations

from uuid import UUID, uuid5

from services.policy.ids import clock_id, clock_ref, event_id, old_event_id, record_id
from services.policy.tagged_event import ClockKey


def test_ids_are_uuids_by_name() -> None:
    """Each kind has its own namespace; the parts are separated by a null."""
    space = "5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c0"
    old = old_event_id("/crm", "é1")
    assert old == uuid5(UUID(space + "1"), "/crm\0é1")
    of_old = uuid5(UUID(space + "2"), "/crm\0é1\0customer:2")
    assert record_id(old, "/crm", "é1", "customer:2") == of_old
    new = event_id("website.feedback-given", "/crm", "e1")
    assert new == UUID("abf95636-b0f6-8835-9822-ca8d78f3dab9")
    assert record_id(new, "/crm", "e1", "visitor:1") == uuid5(new, "visitor:1")
    clock = ClockKey(clock="ticket", key="7")
    assert clock_id(clock) == uuid5(UUID(space + "3"), "ticket\x007")


def test_a_clock_is_named_with_its_parent() -> None:
    """Its id has kind and key of both."""
    parent = ClockKey(clock="supplier", key="s")
    child = ClockKey(clock="supplier-contact", key="s/c", parent=parent)
    assert clock_ref("supplier-contact", "s/c", "supplier", "s") == (clock_id(child), child)
    assert clock_ref("supplier", "s", None, "") == (clock_id(parent), parent)
