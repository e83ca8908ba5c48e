"""A policy is activated once an operator has accepted what it changes; the ledger keeps each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select

from services.ledger import active_policy, tables
from services.ledger.recording import record
from services.policy.loader import load_text
from services.storage.database import Database, open_database
from tests.contract.event_builders import arrival, event
from tests.unit.cli.conftest import Call
from tests.unit.policy.small import SMALL, replaced

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BY_ME = ("--operator", "officer", "--reason", "a test")
FIRST = load_text(SMALL, "small.yaml")
LONGER = replaced(
    replaced(
        SMALL, "term: P1Y\n    anchor: {kind: event}", "term: P100Y\n    anchor: {kind: event}"
    ),
    'version: "1"',
    'version: "2"',
)

Configure = Callable[[str], None]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Configures a policy by its text."""

    def write(text: str) -> None:
        file = tmp_path / "policy.yaml"
        file.write_text(text, "utf-8")
        monkeypatch.setenv("TERMIJN_POLICY", str(file))

    return write


@pytest.fixture
def ledger(termijn: Call, configure: Configure) -> Iterator[Database]:
    """A ledger where the commands look for it, with the small policy and one event."""
    configure(SMALL)
    assert termijn("ledger", "migrate").code == 0
    with closing(open_database(f"sqlite:///{Path.cwd() / '.termijn' / 'ledger.sqlite'}")) as opened:
        opened.run_in_transaction(lambda c: active_policy.require_active(c, FIRST, NOW))
        joined = event("j1", "club.joined", "2025-06-01T12:00:00Z", client_id="1", stay_id="1")
        opened.run_in_transaction(lambda c: record(c, [arrival(joined, FIRST)], FIRST, NOW))
        yield opened


def digest_in(text: str) -> str:
    """The digest that an error asks for."""
    found = re.search(r"give --accept ([0-9a-f]{16})\n$", text)
    assert found, text
    return found[1]


def active(termijn: Call) -> list[tuple[int, str, str | None]]:
    """Number, version and operator of each policy that was activated, the active one first."""
    rows = termijn("policy", "list", "--json").rows
    return [(row["number"], row["version"], row["operator"]) for row in rows]


def test_without_acceptance_it_is_shown_and_not_activated(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """Off a terminal no person can be asked."""
    configure(LONGER)
    shown = termijn("policy", "activate", *BY_ME)
    assert shown.code == 1
    assert shown.out.splitlines() == [
        "small 1 -> small 2",
        "  version is 2, was 1",
        "  rule year: term is P100Y, was P1Y",
        "  rule year in app: holdings that end later: 1",
    ]
    assert shown.err.startswith(
        "termijn: --accept: the differences from the active policy must be accepted, got nothing;"
    )
    assert active(termijn) == [(1, "1", None)]


def test_with_the_digest_that_was_shown_it_is_activated(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """The ledger has who accepted it."""
    configure(LONGER)
    digest = digest_in(termijn("policy", "activate", *BY_ME).err)
    outcome = termijn("policy", "activate", *BY_ME, "--accept", digest)
    assert (outcome.code, outcome.out, outcome.err) == (0, "active: small 2\n", "")
    assert active(termijn) == [(2, "2", "officer"), (1, "1", None)]


def forecasts(ledger: Database) -> list[tuple[str, str, str, int]]:
    """Kind, rule, system and number of each line of a forecast."""
    header, line = tables.forecast.c, tables.forecast_line.c
    query = select(header.kind, line.rule, line.system, line.obligations)
    with ledger.transaction() as connection:
        joined = query.where(line.forecast == header.number).order_by(header.number)
        return [tuple(row) for row in connection.execute(joined)]


SHORTER = LONGER.replace("P100Y", "P7D")


def test_what_is_shown_to_end_at_once_counts_as_forecast_once_accepted(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """What is shown twice counts once."""
    last_month = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    joined = event("j2", "club.joined", last_month, client_id="1", stay_id="1")
    ledger.run_in_transaction(lambda c: record(c, [arrival(joined, FIRST)], FIRST, NOW))
    configure(SHORTER)
    termijn("policy", "activate", *BY_ME)
    shown = termijn("policy", "activate", *BY_ME)
    assert "  rule year in app: holdings that end at once: 1" in shown.out.splitlines()
    assert forecasts(ledger) == [("shown", "year", "app", 1)]
    assert termijn("policy", "activate", *BY_ME, "--accept", digest_in(shown.err)).code == 0
    assert forecasts(ledger) == [("accepted", "year", "app", 1)]


def test_a_digest_that_was_never_shown_here_makes_nothing_expected(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """It was worked out on another machine, with other records."""
    configure(SHORTER)
    shown = termijn("policy", "activate", *BY_ME)
    with ledger.transaction() as connection:
        connection.execute(tables.forecast_line.delete())
        connection.execute(tables.forecast.delete())
    assert termijn("policy", "activate", *BY_ME, "--accept", digest_in(shown.err)).code == 0
    assert forecasts(ledger) == []


def test_what_was_accepted_is_what_is_activated(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """A file that was changed after it was shown is not accepted."""
    configure(LONGER)
    digest = digest_in(termijn("policy", "activate", *BY_ME).err)
    configure(LONGER.replace("P100Y", "P90Y"))
    outcome = termijn("policy", "activate", *BY_ME, "--accept", digest)
    assert outcome.code == 1
    assert f"got {digest};" in outcome.err
    assert digest_in(outcome.err) != digest
    assert active(termijn) == [(1, "1", None)]


def test_another_activation_in_between_withdraws_the_acceptance(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """The differences that were shown were those from another policy."""
    configure(LONGER)
    digest = digest_in(termijn("policy", "activate", *BY_ME).err)
    other = load_text(SMALL.replace('version: "1"', 'version: "1b"'), "other")
    ledger.run_in_transaction(lambda c: active_policy.activate(c, other, NOW, operator="other"))
    assert termijn("policy", "activate", *BY_ME, "--accept", digest).code == 1
    assert active(termijn) == [(2, "1b", "other"), (1, "1", None)]


def test_events_that_arrive_in_between_change_no_digest(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """The numbers are of the moment; the end of each holding follows from the two policies."""
    configure(LONGER)
    digest = digest_in(termijn("policy", "activate", *BY_ME).err)
    joined = event("j2", "club.joined", "2025-07-01T12:00:00Z", client_id="2", stay_id="2")
    ledger.run_in_transaction(lambda c: record(c, [arrival(joined, FIRST)], FIRST, NOW))
    assert termijn("policy", "activate", *BY_ME, "--accept", digest).code == 0


def test_nothing_has_to_be_accepted_without_events(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """No holding can change."""
    with ledger.transaction() as connection:
        connection.execute(tables.event.delete())
        connection.execute(tables.record.delete())
    configure(LONGER)
    outcome = termijn("policy", "activate", *BY_ME)
    assert (outcome.code, outcome.out) == (0, "active: small 2\n")


def test_the_active_policy_is_activated_again_without_acceptance(
    termijn: Call, ledger: Database
) -> None:
    """It has no differences; every record is checked again."""
    assert termijn("policy", "activate", *BY_ME).out == "active: small 1\n"
    assert active(termijn) == [(2, "1", "officer"), (1, "1", None)]


def test_a_former_policy_is_activated_again_by_its_number(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """It is shown and accepted like any other change; the file is not needed."""
    configure(LONGER)
    digest = digest_in(termijn("policy", "activate", *BY_ME).err)
    assert termijn("policy", "activate", *BY_ME, "--accept", digest).code == 0
    shown = termijn("policy", "activate", *BY_ME, "--number", "1")
    assert shown.out.splitlines()[2:] == [
        "  rule year: term is P1Y, was P100Y",
        "  rule year in app: holdings that end at once: 1",
    ]
    accepted = ("--number", "1", "--accept", digest_in(shown.err))
    assert termijn("policy", "activate", *BY_ME, *accepted).out == "active: small 1\n"
    assert active(termijn) == [(3, "1", "officer"), (2, "2", "officer"), (1, "1", None)]


def test_an_unknown_number_is_refused(termijn: Call, ledger: Database) -> None:
    """Whether it is to be activated or shown."""
    for command in (("activate", *BY_ME, "--number", "9"), ("show", "9")):
        outcome = termijn("policy", *command)
        assert outcome.code == 1
        assert outcome.err == (
            "termijn: policy: the ledger has none of that number, got 9; `termijn policy list` has them\n"
        )


def test_show_prints_a_file_that_is_the_same_policy(termijn: Call, ledger: Database) -> None:
    """It can be edited and activated."""
    outcome = termijn("policy", "show")
    assert load_text(outcome.out, "shown") == FIRST
    assert yaml.safe_load(outcome.out)["rules"]["year"]["term"] == "P1Y"
    assert termijn("policy", "show", "1").out == outcome.out


def test_a_policy_whose_text_is_not_kept_is_accepted_without_differences(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """An older version activated it."""
    with ledger.transaction() as connection:
        connection.execute(tables.active_policy.update().values(text=None))
    assert "does not have the text of small 1" in termijn("policy", "show").err
    configure(LONGER)
    shown = termijn("policy", "activate", *BY_ME)
    assert shown.out == (
        "the ledger does not have the text of the active policy: it cannot be compared\n"
    )
    digest = digest_in(shown.err)
    assert termijn("policy", "activate", *BY_ME, "--accept", digest).out == "active: small 2\n"


def test_a_policy_that_cannot_be_activated_is_not_shown_for_acceptance(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """An operator would accept it and then see it refused."""
    configure(SMALL.replace("anchor: {kind: event}", "anchor: {kind: book-year}"))
    outcome = termijn("policy", "activate", *BY_ME)
    assert (outcome.code, outcome.out) == (1, "")
    assert "the subjects or clocks of club.joined have changed" in outcome.err


def test_a_key_that_this_version_does_not_know_is_named(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """A later version activated the policy."""
    with ledger.transaction() as connection:
        text = connection.execute(tables.active_policy.select()).one().text
        later = text.replace('"term":"P1Y"', '"term":"P1Y","until_doomsday":true', 1)
        connection.execute(tables.active_policy.update().values(text=later))
    configure(LONGER)
    outcome = termijn("policy", "activate", *BY_ME)
    assert outcome.code == 1
    assert outcome.err.startswith(
        "termijn: policy: this version of Termijn cannot use the ledger's policy small 1:"
    )
    assert "rules.year.until_doomsday" in outcome.err
    assert outcome.err.count("\n") == 1


ON_A_LATER_DAY = LONGER.replace('version: "2"', 'version: "2"\neffective: 2126-07-01')


def test_a_policy_with_a_later_day_is_scheduled(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """It is shown and accepted as any other, and becomes active at midnight in Amsterdam."""
    configure(ON_A_LATER_DAY)
    shown = termijn("policy", "activate", *BY_ME)
    assert "  effective is 2126-07-01, was not set" in shown.out.splitlines()
    outcome = termijn("policy", "activate", *BY_ME, "--accept", digest_in(shown.err))
    assert outcome.out == "scheduled: small 2 at 2126-06-30T22:00:00Z\n"
    rows = termijn("policy", "list", "--json").rows
    assert [(row["state"], row["version"], row["from"], row["operator"]) for row in rows] == [
        ("scheduled", "2", "2126-06-30T22:00:00Z", "officer"),
        ("active", "1", "2026-01-01T00:00:00Z", None),
    ]
    assert rows[0]["problem"] is None


def test_a_scheduled_policy_can_be_cancelled(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """Once."""
    configure(ON_A_LATER_DAY)
    digest = digest_in(termijn("policy", "activate", *BY_ME).err)
    assert termijn("policy", "activate", *BY_ME, "--accept", digest).code == 0
    assert termijn("policy", "cancel", *BY_ME).out == "cancelled: small 2\n"
    assert active(termijn) == [(1, "1", None)]
    outcome = termijn("policy", "cancel", *BY_ME)
    assert outcome.code == 1
    assert (
        outcome.err
        == "termijn: policy: none is scheduled; `termijn policy list` has those that are\n"
    )


def test_a_day_that_has_come_activates_at_once(
    termijn: Call, ledger: Database, configure: Configure
) -> None:
    """So a former policy with a day can be activated again."""
    configure(ON_A_LATER_DAY.replace("2126", "2026"))
    digest = digest_in(termijn("policy", "activate", *BY_ME).err)
    assert termijn("policy", "activate", *BY_ME, "--accept", digest).out == "active: small 2\n"


def test_the_first_policy_of_a_ledger_is_active_at_once(
    termijn: Call, configure: Configure
) -> None:
    """Without an active policy nothing could be recorded."""
    configure(ON_A_LATER_DAY)
    assert termijn("ledger", "migrate").code == 0
    assert termijn("policy", "activate", *BY_ME).out == "active: small 2\n"


@pytest.mark.parametrize("day", ["2026-02-30", "2026-07-01T00:00:00Z", "1", "soon", "true"])
def test_a_day_that_is_none_is_refused(
    termijn: Call, ledger: Database, configure: Configure, day: str
) -> None:
    """The line names the key."""
    configure(LONGER.replace('version: "2"', f'version: "2"\neffective: "{day}"'))
    outcome = termijn("policy", "lint")
    assert outcome.code == 1
    assert "effective: is not a date such as 2026-07-01, got " in outcome.err
    assert outcome.err.count("\n") == 1
