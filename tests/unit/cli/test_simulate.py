"""`termijn simulate --json`: each command at its time, in the order in which they are sent."""

from __future__ import annotations

import json
from itertools import permutations

import pytest

from tests.contract.event_builders import (
    event,
    feedback,
    invoice,
    reinstated,
    signed_up,
    terminated,
)
from tests.unit.cli.conftest import Call, Write

KEYS = [
    "issued_at",
    "system",
    "subject",
    "action",
    "records",
    "rules",
    "purposes",
    "erase_by",
    "reason",
]
LATE = "2050-01-01T00:00:00Z"


def test_a_line_of_json_has_the_documented_keys_in_order(termijn: Call, events: Write) -> None:
    """A year after the feedback, less the day that the system needs."""
    file = events([feedback("f1", "2024-03-15T13:00:00Z")])
    outcome = termijn("simulate", file, "--until", LATE, "--json")
    [line] = outcome.out.splitlines()
    assert list(json.loads(line)) == KEYS
    assert outcome.rows == [
        {
            "issued_at": "2025-03-14T13:00:00Z",
            "system": "website",
            "subject": "visitor:1",
            "action": "erase",
            "records": ["f1"],
            "rules": ["D5"],
            "purposes": ["website_experience"],
            "erase_by": "2025-03-15T13:00:00Z",
            "reason": "the purpose has ended",
        }
    ]


@pytest.mark.parametrize(
    ("until", "commands"),
    [
        ("2025-03-13", 0),
        ("2025-03-14", 1),
        ("2025-03-14T12:59:59Z", 0),
        ("2025-03-14T13:00:00Z", 1),
    ],
)
def test_the_virtual_clock_stops_at_an_instant_or_after_a_day(
    termijn: Call, events: Write, until: str, commands: int
) -> None:
    """A date is the whole day; the command of this feedback leaves in the afternoon of 14 March."""
    file = events([feedback("f1", "2024-03-15T13:00:00Z")])
    assert len(termijn("simulate", file, "--until", until, "--json").rows) == commands


@pytest.mark.parametrize(("until", "commands"), [("2031-12-31", 0), ("2032-01-01", 1)])
def test_a_day_ends_in_the_controllers_time_zone(
    termijn: Call, events: Write, until: str, commands: int
) -> None:
    """The books' command leaves as 2032 begins in Amsterdam, when in UTC it is still 2031."""
    file = events([invoice("i1", "2024-03-15T13:00:00Z")])
    rows = termijn("simulate", file, "--until", until, "--json").rows
    assert len([row for row in rows if row["system"] == "accounting"]) == commands


@pytest.mark.parametrize("until", ["2025-02-30", "20250314", "tomorrow"])
def test_what_is_neither_an_instant_nor_a_date_is_refused(
    termijn: Call, events: Write, until: str
) -> None:
    outcome = termijn("simulate", events([]), "--until", until)
    assert outcome.code == 1
    assert "is not an instant such as" in outcome.err


def test_a_purchase_leaves_each_system_in_its_time(termijn: Call, events: Write) -> None:
    """R1 two years after the end, R5 after seven book years, R4 twenty years after the purchase.

    Research works on a pseudonym once the customer's data is due.
    """
    file = events(
        [
            event(
                "p1",
                "purchases.purchase-made",
                "2024-01-10T10:00:00Z",
                purchase_id="1",
                customer_id="1",
            ),
            terminated("t1", "2024-03-15T13:00:00Z"),
        ]
    )
    rows = termijn("simulate", file, "--until", LATE, "--json").rows
    assert [
        (row["issued_at"], row["system"], row["action"], row["rules"], row["erase_by"])
        for row in rows
    ] == [
        ("2026-03-14T13:00:00Z", "crm", "erase", ["R1"], "2026-03-15T13:00:00Z"),
        ("2026-03-14T13:00:00Z", "orders", "erase", ["R1"], "2026-03-15T13:00:00Z"),
        ("2026-03-14T13:00:00Z", "printer", "erase", ["R1"], "2026-03-15T13:00:00Z"),
        ("2026-03-14T13:00:00Z", "research", "pseudonymise", ["R4"], "2026-03-15T13:00:00Z"),
        ("2031-12-31T23:00:00Z", "accounting", "erase", ["R5"], "2032-01-01T23:00:00Z"),
        ("2044-01-09T10:00:00Z", "research", "erase", ["R4"], "2044-01-10T10:00:00Z"),
    ]
    assert {tuple(row["records"]) for row in rows} == {("p1",)}


def test_a_simulation_ends_at_the_given_time(termijn: Call, events: Write) -> None:
    """Commands that are due at that very time are still sent."""
    file = events([feedback("f1", "2024-03-15T13:00:00Z")])
    at = termijn("simulate", file, "--until", "2025-03-14T13:00:00Z", "--json").rows
    before = termijn("simulate", file, "--until", "2025-03-14T12:59:59Z", "--json").rows
    assert (len(at), len(before)) == (1, 0)


def test_a_customer_who_comes_back_in_time_is_not_erased(termijn: Call, events: Write) -> None:
    """A customer who comes back a second too late is erased: what was carried out is final."""
    history = [signed_up("s1", "2020-01-01T09:00:00Z"), terminated("t1", "2024-03-15T13:00:00Z")]
    in_time = events([*history, reinstated("b1", "2026-03-14T13:00:00Z")])
    assert termijn("simulate", in_time, "--until", LATE, "--json").rows == []
    too_late = events([*history, reinstated("b1", "2026-03-14T13:00:01Z")])
    assert len(termijn("simulate", too_late, "--until", LATE, "--json").rows) == 6


def test_data_that_arrives_after_its_window_is_erased_on_arrival(
    termijn: Call, events: Write
) -> None:
    """An invoice dated after the customer's window leaves the crm when it is recorded."""
    file = events([terminated("t1", "2020-01-01T09:00:00Z"), invoice("i1", "2024-03-15T13:00:00Z")])
    rows = termijn("simulate", file, "--until", LATE, "--json").rows
    assert [(row["issued_at"], row["system"]) for row in rows] == [
        ("2024-03-15T13:00:00Z", "crm"),
        ("2031-12-31T23:00:00Z", "accounting"),
    ]


def test_the_order_of_the_lines_makes_no_difference(termijn: Call, events: Write) -> None:
    """A repeated line makes no difference either."""
    lines = [
        signed_up("s1", "2020-01-01T09:00:00Z"),
        invoice("i1", "2021-01-01T09:00:00Z"),
        terminated("t1", "2024-03-15T13:00:00Z"),
        feedback("f1", "2024-03-15T13:00:00Z"),
    ]
    outputs = {
        termijn("simulate", events([*some, some[0]]), "--until", LATE, "--json").out
        for some in list(permutations(lines))[::6]
    }
    assert len(outputs) == 1


def test_a_time_may_have_an_offset(termijn: Call, events: Write) -> None:
    """It is shown in UTC."""
    file = events([feedback("f1", "2024-03-15T14:00:00+01:00")])
    [row] = termijn("simulate", file, "--until", "2025-03-14T14:00:00+01:00", "--json").rows
    assert row["issued_at"] == "2025-03-14T13:00:00Z"


def test_a_simulation_writes_no_files(termijn: Call, events: Write) -> None:
    """Neither ledger nor data directory: all of it is in memory."""
    file = events([feedback("f1", "2024-03-15T13:00:00Z")])
    assert termijn("simulate", file, "--until", LATE).code == 0
    assert [path.name for path in file.parent.iterdir()] == ["events.jsonl"]


@pytest.mark.parametrize("command", ["explain", "simulate"])
def test_help_needs_no_file_and_no_policy(termijn: Call, command: str) -> None:
    """`--help` works without any configuration."""
    outcome = termijn(command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert "EVENTS.jsonl" in outcome.out
