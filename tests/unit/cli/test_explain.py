"""`termijn explain --json`: the keys, their order, and the catalogue's own examples to the second.

Amsterdam is an hour ahead of UTC in winter and two in summer; each system needs 24 hours.
"""

from __future__ import annotations

import json
from datetime import datetime
from importlib.resources import files
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from services.policy import loader
from tests.contract.event_builders import (
    contact_changed,
    engaged,
    event,
    feedback,
    invoice,
    order,
    signed_up,
    supplier_ended,
    terminated,
    ticket,
    ticket_resolved,
)
from tests.unit.cli.conftest import Call, Write

KEYS = [
    "event",
    "type",
    "subject",
    "purpose",
    "basis",
    "rule",
    "stated",
    "systems",
    "anchor",
    "anchor_at",
    "anchors",
    "not_before",
    "erase_by",
    "due_at",
    "state",
]


def holding_under(rows: list[dict[str, Any]], rule: str) -> dict[str, Any]:
    """Return the one holding under a rule."""
    [matching] = [row for row in rows if row["rule"] == rule]
    return matching


def test_a_line_of_json_has_the_documented_keys_in_order(termijn: Call, events: Write) -> None:
    """R1: 2024-03-15T14:00 Amsterdam and two years is 2026-03-15T14:00 Amsterdam."""
    file = events(
        [signed_up("s1", "2020-01-01T09:00:00Z"), terminated("t1", "2024-03-15T13:00:00Z")]
    )
    outcome = termijn("explain", file, "--json")
    [line] = outcome.out.splitlines()
    assert list(json.loads(line)) == KEYS
    due = "2026-03-14T13:00:00Z"
    assert outcome.rows == [
        {
            "event": "s1",
            "type": "customers.customer-signed-up",
            "subject": "customer:1",
            "purpose": "service_delivery",
            "basis": "contract",
            "rule": "R1",
            "stated": True,
            "systems": ["crm", "lease", "orders", "printer", "psp", "website"],
            "anchor": "relationship",
            "anchor_at": "2024-03-15T13:00:00Z",
            "anchors": [],
            "not_before": None,
            "erase_by": "2026-03-15T13:00:00Z",
            "due_at": {
                "crm": due,
                "lease": due,
                "orders": due,
                "printer": due,
                "psp": due,
                "website": due,
            },
            "state": "scheduled",
        }
    ]


def test_an_open_window_has_nulls(termijn: Call, events: Write) -> None:
    """The customer relationship has not ended."""
    [row] = termijn("explain", events([signed_up("s1", "2020-01-01T09:00:00Z")]), "--json").rows
    assert (row["anchor_at"], row["not_before"], row["erase_by"]) == (None, None, None)
    assert set(row["due_at"].values()) == {None}
    assert row["state"] == "open"


@pytest.mark.parametrize(
    ("time", "not_before"),
    [
        ("2024-03-15T13:00:00Z", "2031-12-31T23:00:00Z"),
        ("2023-12-31T23:30:00Z", "2031-12-31T23:00:00Z"),  # 00:30 on New Year's Day in Amsterdam
        ("2023-12-31T23:00:00Z", "2031-12-31T23:00:00Z"),
        ("2023-12-31T22:59:59Z", "2030-12-31T23:00:00Z"),
        ("2024-01-01T00:30:00+02:00", "2030-12-31T23:00:00Z"),
    ],
)
def test_an_invoice_is_kept_for_seven_book_years_of_its_local_date(
    termijn: Call, events: Write, time: str, not_before: str
) -> None:
    """The catalogue: 2024-03-15 is kept until 2032-01-01T00:00 Amsterdam."""
    row = holding_under(termijn("explain", events([invoice("i1", time)]), "--json").rows, "R5")
    assert row["anchor"] == "book-year"
    assert row["not_before"] == not_before
    assert row["due_at"] == {"accounting": not_before}


def test_after_a_minimum_the_system_has_its_lead_time(termijn: Call, events: Write) -> None:
    """The book year ends on 31 December; the data is erased within a day of the first time allowed."""
    rows = termijn("explain", events([invoice("i1", "2024-03-15T13:00:00Z")]), "--json").rows
    assert holding_under(rows, "R5")["anchor_at"] == "2024-12-31T23:00:00Z"
    assert holding_under(rows, "R5")["erase_by"] == "2032-01-01T23:00:00Z"
    assert holding_under(rows, "R5")["stated"] is True


@pytest.mark.parametrize(
    ("closed", "erase_by"),
    [
        ("2024-01-31T09:00:00Z", "2024-02-29T09:00:00Z"),
        ("2023-01-31T09:00:00Z", "2023-02-28T09:00:00Z"),
        ("2024-03-15T09:00:00Z", "2024-04-15T08:00:00Z"),  # summer time has begun
    ],
)
def test_a_month_after_the_31st_is_the_last_day_of_the_next_month(
    termijn: Call, events: Write, closed: str, erase_by: str
) -> None:
    """Local time in Amsterdam counts."""
    application = {"application_id": "1", "applicant_id": "1"}
    file = events(
        [
            event(
                "r1",
                "recruitment.application-received",
                "2023-01-01T09:00:00Z",
                keep_consent=False,
                **application,
            ),
            event("c1", "recruitment.application-closed", closed, **application),
        ]
    )
    [row] = termijn("explain", file, "--json").rows
    assert (row["rule"], row["erase_by"]) == ("R3a", erase_by)


def test_two_years_after_29_february_is_28_february(termijn: Call, events: Write) -> None:
    """D4, which the statement does not give."""
    row = holding_under(
        termijn("explain", events([order("o1", "2024-02-29T11:00:00Z")]), "--json").rows, "D4"
    )
    assert row["erase_by"] == "2026-02-28T11:00:00Z"
    assert (row["stated"], row["anchor"]) == (False, "event")


@pytest.mark.parametrize(
    ("time", "erase_by"),
    [
        ("2024-03-30T01:30:00Z", "2025-03-30T00:30:00Z"),  # 02:30 does not exist on that day
        ("2024-10-26T00:30:00Z", "2025-10-26T00:30:00Z"),  # 02:30 exists twice
        ("2024-07-01T10:00:00Z", "2025-07-01T10:00:00Z"),
    ],
)
def test_of_an_ambiguous_local_time_the_earlier_counts(
    termijn: Call, events: Write, time: str, erase_by: str
) -> None:
    """D5, a year after the feedback; the promised term is kept either way."""
    [row] = termijn("explain", events([feedback("f1", time)]), "--json").rows
    assert row["erase_by"] == erase_by


def test_data_without_a_term_is_due_at_the_time_of_its_event(termijn: Call, events: Write) -> None:
    """R2: the contact changed, the supplier stays; the successor's data stays too."""
    file = events(
        [
            engaged("e1", "2024-01-01T09:00:00Z", contact="1"),
            contact_changed("c1", "2024-06-03T08:00:00.250Z", former="1", contact="2"),
        ]
    )
    rows = termijn("explain", file, "--json").rows
    former, successor = sorted(rows, key=lambda row: row["subject"])
    assert former["erase_by"] == "2024-06-03T08:00:00.250000Z"
    assert former["due_at"] == {"procurement": "2024-06-03T08:00:00.250000Z"}
    assert (former["state"], successor["state"]) == ("ended", "open")


def test_a_contact_ends_with_its_supplier(termijn: Call, events: Write) -> None:
    """Whichever comes first."""
    file = events(
        [engaged("e1", "2024-01-01T09:00:00Z"), supplier_ended("x1", "2024-02-01T09:00:00Z")]
    )
    [row] = termijn("explain", file, "--json").rows
    assert row["erase_by"] == "2024-02-01T09:00:00Z"


def test_a_ticket_has_lines_for_each_person_in_it(termijn: Call, events: Write) -> None:
    """Sorted by event, purpose and subject; D7 is six months after the ticket was resolved."""
    file = events(
        [
            ticket("k1", "2024-01-10T09:00:00Z", ["b", "a"], shared_with=["repair"]),
            ticket_resolved("k2", "2024-08-31T09:00:00Z"),
        ]
    )
    rows = termijn("explain", file, "--json").rows
    assert [(row["purpose"], row["subject"], row["rule"]) for row in rows] == [
        ("internal_research", "customer:1", "R4"),
        ("service_delivery", "consumer:a", "D7"),
        ("service_delivery", "consumer:b", "D7"),
        ("service_delivery", "customer:1", "R1"),
    ]
    assert rows[1]["erase_by"] == "2025-02-28T10:00:00Z"  # 11:00 in summer is 11:00 in winter
    assert rows[1]["systems"] == ["helpdesk", "repair"]


@pytest.mark.parametrize(
    ("channel", "systems"),
    [
        ("form", {"D1": ["helpdesk", "mail", "website"]}),
        ("mail", {"D1": ["helpdesk", "mail", "website"], "R4": ["research"]}),
        ("whatsapp", {"D1": ["helpdesk", "mail", "website", "whatsapp"], "R4": ["research"]}),
    ],
)
def test_a_contact_form_is_not_used_for_research(
    termijn: Call, events: Write, channel: str, systems: dict[str, list[str]]
) -> None:
    """The privacy statement limits it to answering the question."""
    message = event(
        "m1",
        "contact.message-received",
        "2024-01-01T09:00:00Z",
        message_id="1",
        visitor_id="1",
        channel=channel,
    )
    rows = termijn("explain", events([message]), "--json").rows
    assert {row["rule"]: row["systems"] for row in rows} == systems


@pytest.mark.parametrize(
    ("now", "state"),
    [("2025-03-14T12:59:59Z", "scheduled"), ("2025-03-14T13:00:00Z", "ended")],
)
def test_the_state_of_a_holding_is_that_at_the_given_time(
    termijn: Call, events: Write, now: str, state: str
) -> None:
    """It has ended when the command is sent, not when the data must be erased."""
    file = events([feedback("f1", "2024-03-15T13:00:00Z")])
    [row] = termijn("explain", file, "--json", "--now", now).rows
    assert row["state"] == state


def test_the_order_of_the_lines_makes_no_difference(termijn: Call, events: Write) -> None:
    """Repeated and empty lines make no difference either."""
    lines = [
        signed_up("s1", "2020-01-01T09:00:00Z"),
        invoice("i1", "2021-01-01T09:00:00Z"),
        terminated("t1", "2024-03-15T13:00:00Z"),
        signed_up("s1", "2020-01-01T09:00:00Z"),
    ]
    outputs = {
        termijn("explain", events([*order_, ""]), "--json").out
        for order_ in list(permutations(lines))[::5]
    }
    assert len(outputs) == 1


def test_explain_prints_a_table_for_people(termijn: Call, events: Write) -> None:
    """The same holdings, without colour where the output is not a terminal."""
    outcome = termijn("explain", events([feedback("f1", "2024-03-15T13:00:00Z")]))
    assert outcome.code == 0
    assert "2025-03-14T13:00:00Z" in outcome.out
    assert "website_experience" in outcome.out
    assert "\x1b" not in outcome.out


def test_the_table_shows_the_anchor_and_both_ends_of_a_window(termijn: Call, events: Write) -> None:
    """An invoice of 2024, kept for seven financial years; an open window has only its anchor's name."""
    lines = termijn("explain", events([invoice("i1", "2024-03-15T13:00:00Z")])).out.splitlines()
    shown = [line for line in lines if "2031-12-31" in line or "2024-12-31" in line]
    assert any("book-year 2024-12-31T23:00:00Z" in line for line in shown)
    assert any("not before 2031-12-31T23:00:00Z" in line for line in shown)
    assert any("│ relationship -" in line for line in lines)


def test_a_file_without_events_explains_nothing(termijn: Call, events: Write) -> None:
    """An empty file is not an error."""
    assert termijn("explain", events([]), "--json").rows == []


def test_the_policy_may_be_chosen(termijn: Call, events: Write, tmp_path: Any) -> None:
    """The option, the environment variable and the settings file can name it."""
    file = events([feedback("f1", "2024-03-15T13:00:00Z")])
    policy = tmp_path / "policy.yaml"
    policy.write_text("policy: mine\n", "utf-8")
    outcome = termijn("explain", file, "--json", "--policy", policy)
    assert outcome.code == 1
    assert str(policy) in outcome.err


@pytest.mark.parametrize("command", [["explain"], ["simulate", "--until", "2030-01-01T00:00:00Z"]])
def test_the_policy_of_the_settings_file_is_used(
    termijn: Call,
    events: Write,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    """Otherwise it would silently explain another policy than the one of the roles."""
    file = events([feedback("f1", "2024-03-15T13:00:00Z")])
    settings = tmp_path / "termijn.toml"
    settings.write_text('[storage]\npolicy = "absent.yaml"\n', "utf-8")
    monkeypatch.setenv("TERMIJN_SETTINGS", str(settings))
    outcome = termijn(command[0], file, "--json", *command[1:])
    assert outcome.code == 1
    assert "absent.yaml" in outcome.err


def test_an_event_that_its_source_may_not_publish_is_refused(
    termijn: Call, events: Write, tmp_path: Path
) -> None:
    """`simulate` and the dry run refuse it too, since production would park it."""
    text = files("services.policy").joinpath(loader.DEFAULT_POLICY).read_text("utf-8")
    policy = tmp_path / "policy.yaml"
    head, tail = text.split("  website.feedback-given:\n", 1)
    policy.write_text(f"{head}  website.feedback-given:\n    sources: [/website]\n{tail}", "utf-8")
    good, bad = feedback("f1", "2024-03-15T13:00:00Z"), feedback("f2", "2024-03-15T13:00:00Z")
    file = events([{**good, "source": "/website"}, bad])
    for command in (("explain",), ("simulate", "--until", "2030-01-01T00:00:00Z")):
        outcome = termijn(*command, file, "--policy", policy)
        assert (outcome.code, outcome.out) == (1, "")
        assert f"{file}:2: source: is not allowed by the policy to publish" in outcome.err


@pytest.mark.parametrize(
    ("bound", "words"), [("604800", "7 days"), ("90000", "90000 seconds")], ids=str
)
@pytest.mark.parametrize("command", [("explain",), ("simulate", "--until", "2030-01-01T00:00:00Z")])
def test_a_line_names_what_production_would_hold_back(
    termijn: Call,
    events: Write,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    bound: str,
    words: str,
) -> None:
    """A file has no arrival times; the line is not mixed with those of `--json`."""
    name, *options = command
    file = events([feedback("f1", "2024-03-15T13:00:00Z")])
    monkeypatch.setenv("TERMIJN_HISTORY_SECONDS", bound)
    outcome = termijn(name, file, *options)
    assert outcome.err == (
        f"in production, live events older than their arrival by more than {words} are held back"
        " until `termijn backfill release`\n"
    )
    assert termijn(name, file, *options, "--json").err == ""


def test_a_line_names_what_production_would_park(
    termijn: Call, events: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event more than a day ahead of its arrival; `--now` is taken as that."""
    file = events(
        [
            feedback("f1", "2024-03-15T13:00:00Z"),
            feedback("f2", "2024-03-16T13:00:01Z"),
            feedback("f3", "2024-03-17T13:00:00Z"),
        ]
    )
    parked = (
        "f2: time: 2024-03-16T13:00:01+00:00 is more than a day ahead of its arrival, if that is at"
    )
    outcome = termijn("explain", file, "--now", "2024-03-15T13:00:00Z")
    assert outcome.err.splitlines()[1:] == [
        f"{parked} 2024-03-15T13:00:00Z: 2 of 3 events are parked"
    ]
    now = "2024-03-16T12:59:59Z"
    monkeypatch.setattr("services.app.cli.explain.utc_now", lambda: datetime.fromisoformat(now))
    for command in (("explain", file), ("simulate", file, "--until", "2024-03-16T00:00:00Z")):
        outcome = termijn(*command)
        assert outcome.code == 0
        assert outcome.err.splitlines()[1:] == [
            "f3: time: 2024-03-17T13:00:00+00:00 is more than a day ahead of its arrival, if that is"
            f" at {now}: it is parked"
        ]
        assert termijn(*command, "--json").err == ""


def test_a_rule_with_conditions_is_shown_with_the_fields_for_which_it_applies(
    termijn: Call, events: Write, tmp_path: Path
) -> None:
    """Messages on WhatsApp alone; the row of another message has no such key."""
    rule = "  D1-whatsapp: {extends: D1, when: {channel: [whatsapp]}, term: P1M}\n"
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        files("services.policy")
        .joinpath(loader.DEFAULT_POLICY)
        .read_text("utf-8")
        .replace("rules:\n", f"rules:\n{rule}", 1),
        "utf-8",
    )
    messages = [
        event(
            f"m{n}",
            "contact.message-received",
            "2024-03-15T13:00:00Z",
            message_id=f"m{n}",
            visitor_id="V1",
            channel=channel,
        )
        for n, channel in enumerate(("whatsapp", "mail"), 1)
    ]
    outcome = termijn("explain", events(messages), "--json", "--policy", policy)
    rows = [row for row in map(json.loads, outcome.out.splitlines()) if "D1" in row["rule"]]
    assert [(row["rule"], row.get("conditions")) for row in rows] == [
        ("D1-whatsapp", {"channel": "whatsapp"}),
        ("D1", None),
    ]
    shown = termijn("explain", events(messages), "--policy", policy).out
    assert "D1-whatsapp, since channel is whatsapp" in " ".join(shown.split())
