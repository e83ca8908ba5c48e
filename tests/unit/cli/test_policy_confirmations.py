"""Derived terms are confirmed by name, as they are, and enforced whether they are confirmed or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.ledger import active_policy, tables
from services.policy.loader import load_text
from services.storage.database import Database, open_database
from tests.contract.event_builders import event
from tests.unit.cli.conftest import Call, Write
from tests.unit.policy.small import SMALL, replaced

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BY_ME = ("--operator", "officer", "--reason", "read with counsel")


@pytest.fixture
def ledger(termijn: Call) -> Iterator[Database]:
    """A ledger with the small policy, of which only the rule `stay` is derived."""
    assert termijn("ledger", "migrate").code == 0
    with closing(open_database(f"sqlite:///{Path.cwd() / '.termijn' / 'ledger.sqlite'}")) as opened:
        activated(opened, SMALL)
        yield opened


def activated(ledger: Database, text: str) -> None:
    """Make a policy the active one."""
    policy = load_text(text, "small.yaml")
    ledger.run_in_transaction(lambda c: active_policy.activate(c, policy, NOW))


def confirmed(termijn: Call) -> list[tuple[str, list[str], str | None]]:
    """Each derived rule, what of it is derived, and who confirmed it."""
    rows = termijn("policy", "derived", "--json").rows
    return [(row["rule"], row["derived"], row["confirmed_by"]) for row in rows]


def test_a_derived_term_is_confirmed_by_name(termijn: Call, ledger: Database) -> None:
    """The operator and the reason are on record."""
    assert confirmed(termijn) == [("stay", ["term", "anchor"], None)]
    assert termijn("policy", "confirm", "stay", *BY_ME).out == "confirmed: stay\n"
    assert confirmed(termijn) == [("stay", ["term", "anchor"], "officer")]
    [row] = termijn("policy", "derived", "--json").rows
    assert row["rationale"] == "Long enough."
    assert row["confirmed_at"] is not None
    with ledger.transaction() as connection:
        [action] = connection.execute(tables.operator_action.select())
    assert (action.operator, action.action, action.target, action.reason) == (
        "officer",
        "policy confirm",
        "stay of small 1",
        "read with counsel",
    )


@pytest.mark.parametrize(
    ("changed", "operator"),
    [
        (replaced(SMALL, "title: A month after the stay", "title: Another title"), "officer"),
        (SMALL.replace("term: P2Y", "term: P3Y"), "officer"),
        (replaced(SMALL, "term: P1M", "term: P2M"), None),
        (replaced(SMALL, "rationale: Long enough.", "rationale: Another reason."), None),
    ],
    ids=["title", "another-rule", "term", "rationale"],
)
def test_a_rule_that_is_changed_is_confirmed_again(
    termijn: Call, ledger: Database, changed: str, operator: str | None
) -> None:
    """What was confirmed is the rule as it was; its title decides nothing."""
    assert termijn("policy", "confirm", "stay", *BY_ME).code == 0
    activated(ledger, changed)
    assert confirmed(termijn) == [("stay", ["term", "anchor"], operator)]


def test_a_rule_that_is_changed_back_is_confirmed(termijn: Call, ledger: Database) -> None:
    """It is what was confirmed."""
    assert termijn("policy", "confirm", "stay", *BY_ME).code == 0
    activated(ledger, replaced(SMALL, "term: P1M", "term: P2M"))
    activated(ledger, SMALL)
    assert confirmed(termijn) == [("stay", ["term", "anchor"], "officer")]


@pytest.mark.parametrize("name", ["year", "nothing", "proof"])
def test_only_a_derived_term_is_confirmed(termijn: Call, ledger: Database, name: str) -> None:
    """Of several names none is, if one is wrong."""
    outcome = termijn("policy", "confirm", "stay", name, *BY_ME)
    assert outcome.code == 1
    assert outcome.err == (
        "termijn: policy: no rule of that name has a derived term or anchor,"
        f" got {name}; those that have are stay\n"
    )
    assert confirmed(termijn) == [("stay", ["term", "anchor"], None)]


def test_the_term_of_the_proof_is_confirmed_as_well(termijn: Call, ledger: Database) -> None:
    """It is a term without a rule."""
    proof = "proof: {term: P5Y, term_from: derived, source: z, rationale: Long enough.}\n"
    activated(ledger, SMALL + proof)
    assert termijn("policy", "confirm", "proof", *BY_ME).code == 0
    assert confirmed(termijn)[1:] == [("proof", ["term"], "officer")]


def test_without_an_operator_nothing_is_confirmed(termijn: Call, ledger: Database) -> None:
    """Someone must be responsible."""
    assert termijn("policy", "confirm", "stay", "--reason", "a test").code == 1
    assert confirmed(termijn) == [("stay", ["term", "anchor"], None)]


def test_explain_shows_which_derived_terms_are_confirmed(
    termijn: Call, ledger: Database, tmp_path: Path, events: Write
) -> None:
    """A term that is stated needs no confirmation."""
    holdings = (
        "    holdings:\n"
        "      - {purpose: care, basis: contract, rule: year, systems: [app]}\n"
        "      - {purpose: service, basis: contract, rule: stay, systems: [app]}\n"
    )
    one = "    holdings:\n      - {purpose: care, basis: contract, rule: year, systems: [app]}\n"
    policy = tmp_path / "policy.yaml"
    policy.write_text(replaced(SMALL, one, holdings), "utf-8")
    joined = event("j1", "club.joined", "2025-06-01T12:00:00Z", client_id="1", stay_id="1")
    file = events([{"specversion": "1.0", **joined}])

    def shown() -> dict[str, bool | None]:
        rows = termijn("explain", file, "--policy", policy, "--ledger", "--json").rows
        return {row["rule"]: row["confirmed"] for row in rows}

    assert shown() == {"year": None, "stay": False}
    assert termijn("policy", "confirm", "stay", *BY_ME).code == 0
    assert shown() == {"year": None, "stay": True}
    [row, _] = termijn("explain", file, "--policy", policy, "--json").rows
    assert "confirmed" not in row


def test_the_record_of_processing_states_what_is_confirmed(termijn: Call, ledger: Database) -> None:
    """Only with the ledger; from a file it states that the term is derived."""
    derived = (
        "term_from: derived\n    rationale: So long.\n    anchor_from: stated\n    source: g\n"
    )
    stated = "term_from: stated\n    anchor_from: stated\n    source: g\n"
    activated(ledger, replaced(SMALL, stated, derived))
    before = termijn("policy", "register", "--ledger").out
    assert (
        "| Derived or stated | term: derived, start: statement; to be confirmed. So long. |"
        in before
    )
    assert termijn("policy", "confirm", "year", *BY_ME).code == 0
    after = termijn("policy", "register", "--ledger").out
    assert "| Derived or stated | term: derived, start: statement; confirmed. So long. |" in after


def test_lint_shows_what_is_confirmed(termijn: Call, ledger: Database) -> None:
    """With the ledger; a file alone knows nothing of who confirmed it."""

    def remark(*options: str) -> str:
        rows = termijn("policy", "lint", *options, "--json").rows
        [what] = [row["what"] for row in rows if "derived" in row["what"]]
        return str(what)

    assert remark("--ledger") == "term and anchor derived, to be confirmed: Long enough."
    assert termijn("policy", "confirm", "stay", *BY_ME).code == 0
    assert remark("--ledger") == "term and anchor derived, confirmed: Long enough."
    Path("small.yaml").write_text(SMALL, "utf-8")
    assert remark("small.yaml") == "term and anchor derived, to be confirmed: Long enough."
