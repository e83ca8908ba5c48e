"""Recorded events allow some changes of their type's fields; each other one is refused with its reason."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from services.policy.decision_fields import decode_decision_fields, encode_decision_fields
from services.policy.field_changes import unfit_types
from services.policy.loader import load_text
from services.policy.tagging import tag
from tests.unit.policy.constructs import event
from tests.unit.policy.small import SMALL, replaced

OLD_TEXT = replaced(
    SMALL,
    "      paid: {type: boolean, required: false}\n",
    "      paid: {type: boolean, required: false}\n      room: {required: false}\n"
    "      floor: {one_of: [low, high], required: false}\n"
    "      desk: {required: false, business_key: true}\n",
).replace(
    "holdings:\n      - {purpose: care, basis: contract, rule: year, systems: [app]}",
    "holdings:\n      - {purpose: care, basis: contract, rule: stay, systems: [app],"
    " when: {level: [basic, full]}}",
)
OLD = load_text(OLD_TEXT, "old.yaml")
TYPE = "club.joined"
ROOM = "      room: {required: false}\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (ROOM, ""),
        (
            ROOM,
            "      room: {}\n      street: {required: false}\n".replace("{}", "{required: false}"),
        ),
        (ROOM, f"{ROOM}      street: {{default: none, one_of: [none, main]}}\n"),
        (ROOM, "      room: {required: false, business_key: true}\n"),
        (ROOM, "      room: {default: none}\n"),
        ("[low, high]", "[low, high, roof]"),
        ("one_of: [low, high], ", ""),
        ("one_of: [basic, full]}", "one_of: [basic, full, gold]}"),
        (
            "client_id: {business_key: true}\n      stay_id",
            "client_id: {business_key: true, required: false}\n      stay_id",
        ),
        (
            "desk: {required: false, business_key: true}",
            "desk: {required: false, identifies: true}",
        ),
    ],
    ids=[
        *("removed", "added", "added with a default", "a key more", "a default", "a value more"),
        *("any value", "a deciding value more", "no longer required", "a stronger key"),
    ],
)
def test_a_change_that_no_recorded_event_needs_fits(old: str, new: str) -> None:
    """Events of before are read under it, and mean the same."""
    changed = load_text(replaced(OLD_TEXT, old, new), "new.yaml")
    assert unfit_types(OLD, changed) == {}
    recorded: list[dict[str, Any]] = [
        {},
        {"room": "12", "floor": "low", "level": "full", "desk": "d1", "paid": True},
    ]
    for data in recorded:
        before = tag(event("2024-03-15T14:00:00Z", **data), OLD)
        stored = decode_decision_fields(encode_decision_fields(before.decision_fields))
        row = SimpleNamespace(
            id=before.id, source=before.source, type=before.type, time=before.time, data=stored
        )
        after = tag(row, changed, recorded=True)
        assert (after.subject, after.holdings) == (before.subject, before.holdings)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            ROOM,
            f"{ROOM}      street: {{}}\n",
            "street is new and required, and recorded events do not have it; set `required: false`",
        ),
        (
            "desk: {required: false, business_key: true}",
            "chair: {required: false}",
            "desk is removed, and systems find the rows of recorded events by it; keep it",
        ),
        (
            "desk: {required: false, business_key: true}",
            "desk: {required: false}",
            "desk is not a business key any more, and systems find rows of recorded events by it; keep it",
        ),
        (
            ROOM,
            "      room: {type: boolean, required: false}\n",
            "room is of type boolean, and recorded events have it as string; add a field instead",
        ),
        (
            ROOM,
            "      room: {}\n",
            "room is now required, and recorded events may lack it; set `required: false`",
        ),
        (
            "[low, high]",
            "[low]",
            "floor has fewer values in `one_of`, and recorded events may have the others; keep them",
        ),
        (
            ROOM,
            "      room: {one_of: [a, b], required: false}\n",
            "room has fewer values in `one_of`, and recorded events may have the others; keep them",
        ),
        (
            "default: basic",
            "default: full",
            "level has another default, and recorded events were decided by the former; keep it",
        ),
        (
            ROOM,
            f"{ROOM}      origin: {{required: false}}\n"
            "    provenance: {reports: obtained, unless: {origin: [us]}}\n",
            "origin is new and decides about holdings, clocks or keys, and recorded events do not have it",
        ),
    ],
)
def test_another_change_is_refused_with_its_reason(old: str, new: str, problem: str) -> None:
    text = OLD_TEXT
    if "provenance" in new:  # it is a key of the event type, below its fields
        field, _, rule = new.partition("    provenance")
        text = replaced(
            text, "    categories: [contact]\n", f"    categories: [contact]\n    provenance{rule}"
        )
        new = field
    changed = load_text(replaced(text, old, new), "new.yaml")
    assert unfit_types(OLD, changed) == {TYPE: (problem,)}


def test_a_deciding_field_cannot_be_removed() -> None:
    """The condition goes with it, and that is another meaning; the clock's key has another name."""
    text = replaced(OLD_TEXT, ", when: {level: [basic, full]}", "")
    changed = load_text(
        replaced(text, "      level: {default: basic, one_of: [basic, full]}\n", ""), "n"
    )
    assert unfit_types(OLD, changed) == {TYPE: ()}


def test_a_missing_type_and_another_subject_are_unfit_without_a_line_on_fields() -> None:
    without = load_text(OLD_TEXT.partition("  club.checked-out:")[0], "n")
    assert unfit_types(OLD, without) == {"club.checked-out": ()}
    other = load_text(
        replaced(OLD_TEXT, "kind: client, field: client_id", "kind: guest, field: client_id"), "n"
    )
    assert unfit_types(OLD, other) == {TYPE: ()}


def test_the_same_policy_fits() -> None:
    assert unfit_types(OLD, OLD) == {}
