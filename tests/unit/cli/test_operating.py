"""Operators' commands: recorded, with a name, and refused where they can have no effect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services.deleter.claim import claim_due
from services.deleter.dispatch import RetryPolicy, dispatch, lease
from services.deleter.paused_systems import PausedSystems
from services.ledger import active_policy, tables
from services.ledger.recording import record
from services.policy import loader
from services.storage.database import Database, open_database
from services.storage.gaps import OffsetGap, record_gap
from services.storage.offsets import PartitionId
from tests.contract.event_builders import arrival, feedback, invoice, signed_up, terminated
from tests.contract.ledgers import FakeBus
from tests.unit.cli.conftest import Call, Write

POLICY = loader.load()
NOW = datetime(2024, 3, 15, 13, tzinfo=UTC)
BY_ME = ("--operator", "night-shift", "--reason", "a test")
UNKNOWN_ID = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def ledger(termijn: Call) -> Iterator[Database]:
    """A ledger where the commands look for it."""
    assert termijn("ledger", "migrate").code == 0
    with closing(open_database(f"sqlite:///{Path.cwd() / '.termijn' / 'ledger.sqlite'}")) as opened:
        yield opened


def recorded(ledger: Database, *events: dict[str, Any], backfill: str | None = None) -> None:
    """Record events under the shipped policy."""
    arrivals = [arrival(event, POLICY, backfill) for event in events]
    ledger.run_in_transaction(
        lambda connection: active_policy.require_active(connection, POLICY, NOW)
    )
    ledger.run_in_transaction(lambda connection: record(connection, arrivals, POLICY, NOW))


def actions(ledger: Database) -> list[tuple[str, str, str, str]]:
    """Return the operators' actions that are recorded."""
    column = tables.operator_action.c
    query = select(column.operator, column.action, column.target, column.reason)
    with ledger.transaction() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_migrating_twice_changes_nothing(termijn: Call, ledger: Database) -> None:
    """A deployment runs it each time."""
    assert termijn("ledger", "migrate").code == 0
    assert termijn("status").code == 0


def test_a_pause_is_listed_and_a_resume_ends_it(termijn: Call, ledger: Database) -> None:
    """The list has the operator and the reason."""
    assert termijn("pause", "deleter", *BY_ME).out == "deleter: paused\n"
    [row] = [row for row in termijn("status", "--json").rows if row["which"] == "deleter"]
    assert row["what"].startswith("paused since ")
    assert row["value"] == "night-shift: a test"
    assert termijn("resume", "deleter", *BY_ME).out == "deleter: running\n"
    assert [row for row in termijn("status", "--json").rows if row["which"] == "deleter"] == []
    assert actions(ledger) == [
        ("night-shift", "pause", "deleter", "a test"),
        ("night-shift", "resume", "deleter", "a test"),
    ]


def test_a_resume_names_the_surges_that_go_on(termijn: Call, ledger: Database) -> None:
    """A pause that is not the deleter's leaves them."""
    at = datetime(2026, 3, 20, 12, tzinfo=UTC)
    surge = {"rule": "D5", "system": "website", "claimed": 1_200, "expected": 7, "found_at": at}
    with ledger.transaction() as connection:
        connection.execute(tables.surge.insert().values(forecast_at=at, policy_number=1, **surge))
    assert termijn("resume", "tagger", *BY_ME).out == "tagger: running\n"
    assert termijn("pause", "deleter", *BY_ME).out == "deleter: paused\n"
    assert termijn("resume", "deleter", *BY_ME).out == (
        "goes on: rule D5 in website, at least 1200 due on a day, 7 forecast on 2026-03-20\n"
        "deleter: running\n"
    )
    assert termijn("resume", "deleter", *BY_ME).out == "deleter: running\n"


@pytest.mark.parametrize("scope", ["deletr", "crm", "system:cmr", "system:"])
def test_pausing_an_unknown_scope_is_refused(termijn: Call, ledger: Database, scope: str) -> None:
    """An operator who pauses `crm` instead of `system:crm` must not believe that it is paused."""
    outcome = termijn("pause", scope, *BY_ME)
    assert outcome.code == 1
    assert scope in outcome.err
    assert actions(ledger) == []


def test_a_role_that_cannot_drain_is_not_drained(termijn: Call, ledger: Database) -> None:
    """It would go on reading."""
    assert termijn("drain", "recorder", *BY_ME).code == 1


@pytest.mark.parametrize(
    "scope", ["deleter", "tagger", "recorder", "acknowledgements", "system:crm"]
)
def test_every_role_and_system_can_be_paused(termijn: Call, ledger: Database, scope: str) -> None:
    """Other scopes do not exist."""
    assert termijn("pause", scope, *BY_ME).code == 0


def test_without_an_operator_nothing_is_done(termijn: Call, ledger: Database) -> None:
    """Someone must be responsible."""
    outcome = termijn("pause", "deleter", "--reason", "a test")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "termijn: --operator: is required; give a name, or set TERMIJN_OPERATOR\n"
    assert termijn("pause", "deleter", "--operator", "me", "--reason", " ").code == 1
    assert actions(ledger) == []
    assert len(termijn("status", "--json").rows) == 5


def test_the_operator_may_come_from_the_environment(
    termijn: Call, ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option wins over it."""
    monkeypatch.setenv("TERMIJN_OPERATOR", "day-shift")
    termijn("pause", "deleter", "--reason", "a test")
    termijn("resume", "deleter", *BY_ME)
    assert [operator for operator, *_ in actions(ledger)] == ["day-shift", "night-shift"]


def test_a_gap_is_listed_and_accepted(termijn: Call, ledger: Database) -> None:
    """The role then continues with what is left."""
    log = PartitionId(cluster_id="c", topic="retention.tagged.v1", topic_id="t", partition=0)
    gap = OffsetGap(role="recorder", log=log, expected=5, low=7, high=9)
    ledger.run_in_transaction(lambda connection: record_gap(connection, gap, NOW))
    assert termijn("gaps", "list", "--json").rows == [
        {
            "role": "recorder",
            "topic": "retention.tagged.v1",
            "partition": 0,
            "expected": 5,
            "low": 7,
            "high": 9,
        }
    ]
    place = ("recorder", "retention.tagged.v1", 0)
    outcome = termijn("gaps", "accept", *place, *BY_ME)
    assert outcome.out == "recorder continues at offset 7 of retention.tagged.v1[0]\n"
    assert termijn("gaps", "list", "--json").rows == []
    assert termijn("gaps", "accept", *place, *BY_ME).err == (
        "termijn: recorder: retention.tagged.v1[0]: has no open gap; see `termijn gaps list`\n"
    )


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("commands", "abandon", UNKNOWN_ID), UNKNOWN_ID),
        (("dead-letters", "discard", UNKNOWN_ID), UNKNOWN_ID),
        (("backfill", "release", "2019"), "'2019'"),
        (("gaps", "accept", "tagger", "t", "0"), "t[0]"),
    ],
    ids=lambda argument: argument[0] if isinstance(argument, tuple) else "",
)
def test_an_id_that_does_not_exist_is_reported(
    termijn: Call, ledger: Database, arguments: tuple[str, ...], what: str
) -> None:
    """The error is one line, and nothing is recorded."""
    outcome = termijn(*arguments, *BY_ME)
    assert (outcome.code, outcome.out) == (1, "")
    [line] = outcome.err.splitlines()
    assert what in line
    assert actions(ledger) == []


def test_a_dry_run_of_a_sweep_shows_what_would_be_commanded(
    termijn: Call, ledger: Database
) -> None:
    """It is run twice for a later time, and nothing is in the outbox."""
    recorded(ledger, feedback("f1", "2024-03-15T13:00:00Z"))
    for _ in range(2):
        rows = termijn("sweep", "--dry-run", "--now", "2025-03-14T13:00:00Z", "--json").rows
        assert [(row["due_at"], row["system"], row["action"], row["records"]) for row in rows] == [
            ("2025-03-14T13:00:00Z", "website", "erase", 1)
        ]
    assert termijn("sweep", "--dry-run", "--now", "2025-03-14T12:59:59Z", "--json").rows == []
    assert termijn("commands", "list", "--json").rows == []


def test_a_sweep_lists_rules_as_json(termijn: Call, ledger: Database) -> None:
    """`simulate` does so too; they are not JSON inside JSON."""
    recorded(ledger, feedback("f1", "2024-03-15T13:00:00Z"))
    [row] = termijn("sweep", "--dry-run", "--now", "2025-03-14T13:00:00Z", "--json").rows
    assert row["rules"] == ["D5"]


def test_an_import_is_forecast_and_released_once(termijn: Call, ledger: Database) -> None:
    """The current time is long after its terms."""
    history = (signed_up("s1", "2010-01-01T09:00:00Z"), terminated("t1", "2012-01-01T09:00:00Z"))
    recorded(ledger, *history, backfill="2019")
    assert [row["value"] for row in termijn("status", "--json").rows if row["which"] == "2019"] == [
        1
    ]
    [waiting] = termijn("backfill", "list", "--json").rows
    assert (waiting["backfill"], waiting["records"], waiting["clocks"]) == ("2019", 1, 1)
    rows = termijn("backfill", "forecast", "2019", "--json").rows
    assert [(row["system"], row["rule"], row["action"], row["records"]) for row in rows] == [
        (system, "R1", "erase", 1)
        for system in ("crm", "lease", "orders", "printer", "psp", "website")
    ]
    assert (
        termijn("backfill", "release", "2019", "--operator", "night-shift").out == "released 2019\n"
    )
    assert termijn("backfill", "release", "2019", "--operator", "night-shift").code == 1
    assert termijn("backfill", "list", "--json").rows == []
    with ledger.transaction() as connection:
        lines = connection.execute(tables.forecast_line.select()).all()
    assert {(line.rule, line.system, line.obligations) for line in lines} == {
        ("R1", system, 1) for system in ("crm", "lease", "orders", "printer", "psp", "website")
    }
    assert actions(ledger) == [
        ("night-shift", "backfill release", "2019", "released after its forecast"),
    ]


def test_the_activation_of_a_policy_is_recorded(
    termijn: Call, ledger: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All records are scanned again under it."""
    recorded(ledger, feedback("f1", "2024-03-15T13:00:00Z"))
    text = (Path(loader.__file__).parent / loader.DEFAULT_POLICY).read_text("utf-8")
    policy = tmp_path / "policy.yaml"
    policy.write_text(text.replace('version: "2021-05-19.7"', 'version: "2"'), "utf-8")
    monkeypatch.setenv("TERMIJN_POLICY", str(policy))
    assert accepted(termijn) == "active: optimum-pos 2\n"
    assert termijn("status", "--json").rows[0]["value"] == "optimum-pos 2"
    assert actions(ledger) == [("night-shift", "policy activate", "optimum-pos 2", "a test")]


def test_commands_that_only_the_old_policy_requires_are_cancelled(
    termijn: Call, ledger: Database, tmp_path: Path
) -> None:
    """R5 was one year by mistake: unsent commands are cancelled, sent ones are recalled."""
    text = (Path(loader.__file__).parent / loader.DEFAULT_POLICY).read_text("utf-8")
    file = tmp_path / "wrong.yaml"
    text = text.replace("term: P7Y", "term: P1Y").replace(f'"{POLICY.version}"', '"wrong"')
    file.write_text(text, "utf-8")
    wrong = loader.load(file)
    at = datetime(2026, 2, 1, tzinfo=UTC)
    ledger.run_in_transaction(
        lambda connection: active_policy.require_active(connection, wrong, at)
    )
    for day, is_sent in ((1, True), (2, False)):
        tagged_event = arrival(invoice(f"i{day}", f"2024-03-0{day}T12:00:00Z", f"{day}"), wrong)
        ledger.run_in_transaction(
            lambda connection, arrived=tagged_event: record(connection, [arrived], wrong, at)  # type: ignore[misc]
        )
        ledger.run_in_transaction(lambda connection: claim_due(connection, wrong, at, limit=9))
        if is_sent:
            leased = ledger.run_in_transaction(
                lambda connection: lease(connection, at, PausedSystems(), limit=9)
            )
            ledger.run_in_transaction(
                lambda c, ids=leased: dispatch(  # type: ignore[misc]
                    c, ids, FakeBus(), wrong, at, RetryPolicy()
                )
            )
    assert states(termijn) == [("erase", "sent"), ("erase", "unsent")]
    right = Path(loader.__file__).parent / loader.DEFAULT_POLICY
    assert [
        row["what"] for row in termijn("policy", "diff", file, right, "--ledger", "--json").rows
    ] == [
        "version is 2021-05-19.7, was wrong",
        "rule R5: term is P7Y, was P1Y",
        "rule R5 in accounting: holdings that end later: 2",
        "accounting: erase commands that are cancelled: 1",
        "accounting: erase commands that are recalled: 1",
    ]
    assert states(termijn) == [("erase", "sent"), ("erase", "unsent")]
    assert accepted(termijn) == f"active: optimum-pos {POLICY.version}\n"
    assert states(termijn) == [("erase", "recalling"), ("recall", "unsent")]


def accepted(termijn: Call, *options: str) -> str:
    """Activate the configured policy, with its differences accepted, and return what is printed."""
    shown = termijn("policy", "activate", *BY_ME, *options)
    assert shown.code == 1
    digest = shown.err.rstrip().rpartition("--accept ")[2]
    return termijn("policy", "activate", *BY_ME, *options, "--accept", digest).out


def states(termijn: Call) -> list[tuple[str, str]]:
    """Return action and state of each of accounting's commands that is still valid, sorted."""
    rows = termijn("commands", "list", "--system", "accounting", "--json").rows
    return sorted((row["action"], row["state"]) for row in rows)


def test_a_policy_without_a_recorded_event_type_is_not_activated(
    termijn: Call, ledger: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data of that type would never be erased, and no scan would end."""
    recorded(ledger, feedback("f1", "2024-03-15T13:00:00Z"))
    text = (Path(loader.__file__).parent / loader.DEFAULT_POLICY).read_text("utf-8")
    head, tail = text.split("  website.feedback-given:\n", 1)
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        head + "  research.survey-invited" + tail.split("  research.survey-invited", 1)[1]
    )
    monkeypatch.setenv("TERMIJN_POLICY", str(policy))
    outcome = termijn("policy", "activate", *BY_ME)
    assert outcome.code == 1
    assert "website.feedback-given" in outcome.err
    assert termijn("status", "--json").rows[0]["value"] == "optimum-pos 2021-05-19.7"


def test_removing_a_system_from_recorded_events_needs_a_named_operator(
    termijn: Call, ledger: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the system would keep those events without a notice."""
    recorded(ledger, feedback("f1", "2024-03-15T13:00:00Z"))
    text = (Path(loader.__file__).parent / loader.DEFAULT_POLICY).read_text("utf-8")
    head, tail = text.split("  website.feedback-given:\n", 1)
    policy = tmp_path / "policy.yaml"
    moved = tail.replace("systems: [website", "systems: [crm", 1)
    policy.write_text(
        f"{head}  website.feedback-given:\n{moved}".replace(POLICY.version, "2"), "utf-8"
    )
    monkeypatch.setenv("TERMIJN_POLICY", str(policy))
    answer = termijn("policy", "activate", *BY_ME)
    assert answer.code == 1
    assert (
        "these systems would never erase recorded events: website those of website.feedback-given"
        in answer.err
    )
    assert "give --drop website.feedback-given:website" in answer.err
    answer = termijn("policy", "activate", *BY_ME, "--drop", "website")
    assert answer.code == 1
    assert "must be TYPE:SYSTEM, got 'website'" in answer.err
    drop = ("--drop", "website.feedback-given:website")
    assert accepted(termijn, *drop) == "active: optimum-pos 2\n"
    target = "optimum-pos 2 --drop website.feedback-given:website"
    assert actions(ledger) == [("night-shift", "policy activate", target, "a test")]


def test_lint_checks_the_configured_policy(termijn: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise an operator would check the shipped policy instead of their own."""
    monkeypatch.setenv("TERMIJN_POLICY", "absent.yaml")
    outcome = termijn("policy", "lint")
    assert outcome.code == 1
    assert "absent.yaml" in outcome.err


def test_lint_lists_what_the_privacy_officer_confirms(termijn: Call) -> None:
    """The derived terms and anchors, and nothing of what the statement gives."""
    keys = [row["key"] for row in termijn("policy", "lint", "--json").rows]
    assert keys[:9] == [
        f"rules.{rule}" for rule in ("R3b", "R4", "D1", "D2", "D3", "D4", "D5", "D6", "D7")
    ]


def test_the_schema_of_a_policy_is_json_schema(termijn: Call) -> None:
    """Editors use it to check a policy."""
    schema = json.loads(termijn("policy", "schema").out)
    assert {"policy", "rules", "events"} <= set(schema["properties"])


def test_publishing_checks_the_whole_file_first(
    termijn: Call, ledger: Database, events: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad line is reported before anything is sent, whatever the broker does."""
    monkeypatch.setattr("services.app.wiring.resources.KafkaClient", _NoBus)
    file = events([feedback("f1", "2024-03-15T13:00:00Z"), "{"])
    outcome = termijn("publish", file)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"termijn: {file}:2: json: ")


class _NoBus:
    """A Kafka cluster that accepts nothing."""

    is_embedded = False
    cluster_id = "c"

    def __init__(self, *_: str) -> None:
        pass

    def open_producer(self) -> None:
        """Return no producer."""


def privacy_event(id: str, what: str, time: str, **data: Any) -> dict[str, Any]:
    """A privacy event about customer 1."""
    return {
        "specversion": "1.0",
        "id": id,
        "source": "/crm",
        "type": f"privacy.{what}",
        "time": time,
        "data": {"subject": "customer:1", **data},
    }


def test_open_requests_are_listed_with_their_limit(termijn: Call, ledger: Database) -> None:
    """A month after receipt, by calendar; an answered one only where it is asked for."""
    recorded(
        ledger,
        privacy_event(
            "q1", "request-received", "2024-01-31T09:00:00Z", request_id="Q1", right="access"
        ),
        privacy_event(
            "q2", "request-received", "2024-01-10T09:00:00Z", request_id="Q2", right="erasure"
        ),
        privacy_event("a2", "request-answered", "2024-01-20T09:00:00Z", request_id="Q2"),
    )
    [row] = termijn("requests", "list", "--json").rows
    assert (row["request"], row["right"], row["state"]) == ("Q1", "access", "received")
    assert row["answer_by"] == "2024-02-29T09:00:00Z"
    assert row["days_left"] < 0
    every = termijn("requests", "list", "--all", "--json").rows
    assert [(request["request"], request["state"]) for request in every] == [
        ("Q1", "received"),
        ("Q2", "answered"),
    ]


def test_a_request_of_an_unverified_person_has_no_letter_yet(
    termijn: Call, ledger: Database
) -> None:
    """A letter that is printed too soon refuses no request; the receipt can be confirmed."""
    recorded(
        ledger,
        privacy_event(
            "q1", "request-received", "2024-01-31T09:00:00Z", request_id="Q1", right="access"
        ),
    )
    early = termijn("requests", "letter", "customer:1", "Q1")
    assert (early.code, early.out) == (1, "")
    assert "identity is not verified" in early.err
    receipt = termijn("requests", "notice", "request-received", "customer:1", "Q1")
    assert "ontvangen op 31 januari 2024" in receipt.out
    unknown = termijn("requests", "letter", "customer:1", "Q2")
    assert (unknown.code, "no such request" in unknown.err) == (1, True)


def test_the_letter_of_an_erasure_agrees_with_the_ledger(termijn: Call, ledger: Database) -> None:
    """Verified, and nothing commanded yet: the dossier is kept, and nothing is reported as erased."""
    recorded(
        ledger,
        privacy_event(
            "q1", "request-received", "2024-01-31T09:00:00Z", request_id="Q1", right="erasure"
        ),
        privacy_event("v1", "identity-verified", "2024-02-01T09:00:00Z", request_id="Q1"),
    )
    letter = termijn("requests", "letter", "customer:1", "Q1", "--language", "en")
    assert "Customer relations, Meeting legal duties and preventing fraud" in letter.out
    assert ": done" not in letter.out


def test_open_holds_are_listed(termijn: Call, ledger: Database) -> None:
    """A released one is not; one on some records names them."""
    recorded(
        ledger,
        privacy_event(
            "h1", "hold-placed", "2024-01-01T09:00:00Z", hold_id="H1", ground="legal_claim"
        ),
        privacy_event("r1", "hold-released", "2024-01-02T09:00:00Z", hold_id="H1"),
        privacy_event(
            "h2",
            "hold-placed",
            "2024-01-03T09:00:00Z",
            hold_id="H2",
            ground="fraud_inquiry",
            records=["e1"],
        ),
    )
    assert termijn("holds", "list", "--json").rows == [
        {
            "subject": "customer:1",
            "since": "2024-01-03T09:00:00Z",
            "records": ["e1"],
            "too_late_for": [],
        }
    ]
