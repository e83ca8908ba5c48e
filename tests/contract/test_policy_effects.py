"""The ledger counts which holdings another policy lets end earlier, later or at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.deleter import activation
from services.deleter.activation import WithdrawnCommands, count_withdrawn
from services.ledger import active_policy, tables
from services.ledger.policy_effects import EffectCount, count_effects
from services.ledger.recording import record
from services.policy.explain import explain_events
from services.policy.loader import load
from services.policy.model import Policy
from services.policy.rule import Anchor
from services.storage.database import Database
from tests.contract.event_builders import (
    Event,
    arrival,
    event,
    feedback,
    invoice,
    order,
    signed_up,
    tag_distinct,
    terminated,
    ticket,
    ticket_resolved,
)
from tests.contract.ledgers import claim_all, empty_database, run_as_role, select_rows
from tests.effort import SLOW, examples

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHIPPED = load()


def changed(section: str, name: str, **keys: Any) -> Policy:
    """The shipped policy with an entry of a section changed."""
    entries: Mapping[str, Any] = getattr(SHIPPED, section)
    sections: dict[str, Any] = {section: {**entries, name: replace(entries[name], **keys)}}
    return replace(SHIPPED, version="next", **sections)


def effects(
    ledger: Database, new: Policy, *events: Event, now: datetime = NOW, backfill: str | None = None
) -> list[EffectCount]:
    """Record events under the shipped policy, and count what another one changes about them."""
    arrivals = [arrival(body, SHIPPED, backfill) for body in events]
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, now)
        record(connection, arrivals, SHIPPED, now)
    return run_as_role(
        ledger, "operators", lambda connection: count_effects(connection, SHIPPED, new, now)
    )


def test_a_shorter_term_ends_some_holdings_at_once(ledger: Database) -> None:
    """Two years become one: of an order of 2023 both are over."""
    counted = effects(
        ledger,
        changed("rules", "D4", term="P1Y"),
        order("o1", "2025-06-01T12:00:00Z"),
        order("o2", "2024-02-01T12:00:00Z", consumer="2"),
        order("o3", "2024-03-01T12:00:00Z", consumer="2"),
        order("o4", "2023-01-01T12:00:00Z"),
        invoice("i1", "2025-06-01T12:00:00Z"),
    )
    assert counted == [
        EffectCount("D4", "orders", "at once", 2),
        EffectCount("D4", "orders", "earlier", 1),
        EffectCount("D4", "psp", "at once", 2),
        EffectCount("D4", "psp", "earlier", 1),
    ]


def test_a_policy_that_changes_no_date_changes_no_holding(ledger: Database) -> None:
    """Titles and sources are texts."""
    new = changed("rules", "D4", title="Another title", source="Another heading")
    assert effects(ledger, new, order("o1", "2025-06-01T12:00:00Z")) == []


def test_an_empty_ledger_has_no_holdings(ledger: Database) -> None:
    """Whatever the policy changes."""
    assert effects(ledger, changed("rules", "D4", term="P1Y")) == []


def test_holdings_of_an_open_clock_are_counted_apart(ledger: Database) -> None:
    """A customer's end gives each of them its date; customer 2 has ended."""
    counted = effects(
        ledger,
        changed("rules", "R1", term="P3Y"),
        signed_up("s1", "2020-01-01T12:00:00Z"),
        signed_up("s2", "2020-01-01T12:00:00Z", customer="2"),
        terminated("t2", "2025-01-01T12:00:00Z", customer="2"),
    )
    assert [line for line in counted if line.system == "crm"] == [
        EffectCount("R1", "crm", "later", 1),
        EffectCount("R1", "crm", "open", 1),
    ]


def test_each_consumer_of_a_ticket_is_counted(ledger: Database) -> None:
    """A list of subjects makes one record each, and the customer's own is another rule's."""
    counted = effects(
        ledger,
        changed("rules", "D7", term="P1Y"),
        ticket("t1", "2025-10-01T12:00:00Z", ["a", "b"]),
        ticket_resolved("t2", "2025-10-02T12:00:00Z"),
    )
    assert counted == [EffectCount("D7", "helpdesk", "later", 2)]


def test_systems_that_an_event_names_are_counted(ledger: Database) -> None:
    """A list of systems is a value like any other."""
    counted = effects(
        ledger,
        changed("rules", "D7", term="P1Y"),
        ticket("t1", "2025-10-01T12:00:00Z", ["a"], shared_with=["repair"]),
        ticket_resolved("t2", "2025-10-02T12:00:00Z"),
    )
    assert counted == [
        EffectCount("D7", "helpdesk", "later", 1),
        EffectCount("D7", "repair", "later", 1),
    ]


def test_holdings_of_persons_with_privacy_events_are_counted_apart(ledger: Database) -> None:
    """A withdrawal may have ended them already, whatever the rule."""
    withdrawal = event(
        "w1",
        "privacy.consent-withdrawn",
        "2025-12-01T12:00:00Z",
        subject="visitor:1",
        purpose="website_experience",
    )
    counted = effects(
        ledger,
        changed("rules", "D5", term="P2Y"),
        feedback("f1", "2025-06-01T12:00:00Z"),
        withdrawal,
    )
    assert counted == [EffectCount("D5", "website", "by person", 1)]


def test_a_system_that_a_holding_gets_or_loses_is_counted(ledger: Database) -> None:
    """It is another question than when the holding ends."""
    kind = SHIPPED.events["website.feedback-given"]
    [holding] = kind.holdings
    moved = replace(kind, holdings=(replace(holding, systems=("crm",)),))
    new = replace(SHIPPED, events={**SHIPPED.events, "website.feedback-given": moved})
    assert effects(ledger, new, feedback("f1", "2025-06-01T12:00:00Z")) == [
        EffectCount("D5", "crm", "added", 1),
        EffectCount("D5", "website", "dropped", 1),
    ]


def test_a_purpose_that_is_no_longer_retired_is_held_after_all(ledger: Database) -> None:
    """The records exist, so that a later policy finds them."""
    at = datetime(2025, 1, 1, tzinfo=UTC)
    retired = changed("purposes", "website_experience", retired=at)
    events = [feedback("f1", "2024-12-31T12:00:00Z"), feedback("f2", "2025-06-01T12:00:00Z")]
    with ledger.transaction() as connection:
        record(connection, [arrival(body, retired) for body in events], retired, NOW)
        assert count_effects(connection, retired, SHIPPED, NOW) == [
            EffectCount("D5", "website", "added", 1)
        ]


def test_what_is_erased_is_not_counted(ledger: Database) -> None:
    """No later term brings it back."""
    effects(ledger, SHIPPED, feedback("f1", "2023-06-01T12:00:00Z"))
    assert claim_all(ledger, NOW)
    longer = changed("rules", "D5", term="P9Y")
    with ledger.transaction() as connection:
        assert count_effects(connection, SHIPPED, longer, NOW) == [
            EffectCount("D5", "website", "later", 1)
        ]
        connection.execute(tables.command.update().values(state="acknowledged"))
        assert count_effects(connection, SHIPPED, longer, NOW) == []


def test_commands_that_the_new_policy_does_not_require_are_counted(ledger: Database) -> None:
    """They are decided as for an activation, and stay as they are."""
    effects(
        ledger,
        SHIPPED,
        feedback("f1", "2023-06-01T12:00:00Z"),
        order("o1", "2023-06-01T12:00:00Z"),
    )
    claim_all(ledger, NOW)
    longer = changed("rules", "D5", term="P9Y")
    before = select_rows(ledger, tables.command)
    withdrawn = run_as_role(
        ledger, "operators", lambda connection: count_withdrawn(connection, longer, NOW)
    )
    assert withdrawn == [WithdrawnCommands("website", "erase", False, 1)]
    assert select_rows(ledger, tables.command) == before


@pytest.mark.parametrize("backfill", [None, "2019"])
def test_an_import_that_waits_counts_as_well(ledger: Database, backfill: str | None) -> None:
    """It is erased once it is released."""
    counted = effects(
        ledger,
        changed("rules", "D5", term="P2Y"),
        feedback("f1", "2025-06-01T12:00:00Z"),
        backfill=backfill,
    )
    assert counted == [EffectCount("D5", "website", "later", 1)]


def test_another_structure_is_not_compared(ledger: Database) -> None:
    """It cannot be activated: the records depend on the old clocks."""
    new = changed("rules", "R1", anchor=Anchor(kind="clock", clock="ticket"))
    assert effects(ledger, new, signed_up("s1", "2020-01-01T12:00:00Z")) == []


DAYS = st.integers(min_value=0, max_value=8 * 365)
TERMS = st.sampled_from(["P0D", "P30D", "P1M", "P1Y", "P12M", "P2Y", "P3Y1D", "P8Y"])


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Some events of a few persons, of which some clocks have ended."""

    def at() -> str:
        time = NOW - timedelta(days=draw(DAYS), seconds=draw(st.integers(0, 86_399)))
        return time.isoformat().replace("+00:00", "Z")

    makers = (
        lambda number: order(f"o{number}", at(), consumer=draw(st.sampled_from("12"))),
        lambda number: invoice(f"i{number}", at(), draw(st.sampled_from("12"))),
        lambda number: signed_up(f"s{number}", at(), draw(st.sampled_from("12"))),
        lambda number: terminated(f"e{number}", at(), draw(st.sampled_from("12"))),
        lambda number: ticket(
            f"t{number}",
            at(),
            draw(st.sampled_from([(), ("a",), ("a", "b")])),
            shared_with=["repair"],
        ),
        lambda number: ticket_resolved(f"r{number}", at()),
    )
    kinds = draw(st.lists(st.sampled_from(makers), max_size=12))
    return [make(number) for number, make in enumerate(kinds)]


@settings(max_examples=examples(10), deadline=None, suppress_health_check=SLOW)
@given(
    events=histories(), terms=st.fixed_dictionaries(dict.fromkeys(("D4", "R1", "R5", "D7"), TERMS))
)
def test_sql_counts_what_each_holding_gives(
    shared_ledger: Database, events: list[Event], terms: dict[str, str]
) -> None:
    """Every holding of the events is explained under both policies, one by one."""
    rules = {name: replace(SHIPPED.rules[name], term=term) for name, term in terms.items()}
    new = replace(SHIPPED, version="next", rules={**SHIPPED.rules, **rules})
    ledger = empty_database(shared_ledger)
    pairs = [tag_distinct(events, policy) for policy in (SHIPPED, new)]
    before, after = (
        explain_events([tagged for _, tagged in pair], policy, NOW)
        for pair, policy in zip(pairs, (SHIPPED, new), strict=True)
    )
    expected: Counter[tuple[str, str, str]] = Counter()
    for old_holding, new_holding in zip(before, after, strict=True):
        rule = old_holding.holding.rule
        if SHIPPED.rules[rule].term == new.rules[rule].term:
            continue
        for system, old_due in old_holding.window.due_at.items():
            new_due = new_holding.window.due_at[system]
            if old_due is None or new_due is None:
                expected[rule, system, "open"] += 1
            elif old_due == new_due or max(old_due, new_due) <= NOW:
                continue
            elif new_due <= NOW:
                expected[rule, system, "at once"] += 1
            else:
                expected[rule, system, "later" if new_due > old_due else "earlier"] += 1
    assert effects(ledger, new, *events) == sorted(
        EffectCount(rule, system, effect, count)  # type: ignore[arg-type]  # a text of those
        for (rule, system, effect), count in expected.items()
    )


def message(id_: str, time: str, **fields: Any) -> Event:
    return event(
        id_, "contact.message-received", time, message_id=id_, visitor_id=f"v-{id_}", **fields
    )


def resolved(id_: str, time: str, of: str) -> Event:
    return event(id_, "contact.message-resolved", time, message_id=of, visitor_id=f"v-{of}")


def test_a_rule_for_some_events_is_counted_for_those_alone(ledger: Database) -> None:
    """Messages on WhatsApp get a month instead of half a year; all others keep theirs."""
    short = replace(SHIPPED.rules["D1"], extends="D1", when={"channel": ("whatsapp",)}, term="P1M")
    new = replace(SHIPPED, version="next", rules={**SHIPPED.rules, "D1-whatsapp": short})
    counted = effects(
        ledger,
        new,
        message("m1", "2025-10-01T12:00:00Z", channel="whatsapp"),
        message("m2", "2025-10-01T12:00:00Z", channel="mail"),
        message("m3", "2025-12-01T12:00:00Z", channel="whatsapp"),
        resolved("r1", "2025-10-02T12:00:00Z", of="m1"),
        resolved("r2", "2025-10-02T12:00:00Z", of="m2"),
        resolved("r3", "2025-12-20T12:00:00Z", of="m3"),
    )
    systems = ("helpdesk", "mail", "website", "whatsapp")
    assert counted == sorted(
        EffectCount("D1-whatsapp", system, effect, 1)
        for system in systems
        for effect in ("at once", "earlier")
    )


def test_a_rule_for_some_events_is_enforced_from_its_activation_on(ledger: Database) -> None:
    """What it ends by now is commanded, and nothing of other events."""
    short = replace(SHIPPED.rules["D1"], extends="D1", when={"channel": ("whatsapp",)}, term="P1M")
    new = replace(SHIPPED, version="next", rules={**SHIPPED.rules, "D1-whatsapp": short})
    effects(
        ledger,
        new,
        message("m1", "2025-10-01T12:00:00Z", channel="whatsapp"),
        message("m2", "2025-10-01T12:00:00Z", channel="mail"),
        resolved("r1", "2025-10-02T12:00:00Z", of="m1"),
        resolved("r2", "2025-10-02T12:00:00Z", of="m2"),
    )
    assert claim_all(ledger, NOW, policy=SHIPPED) == []
    ledger.run_in_transaction(lambda c: activation.activate(c, new, NOW))
    claim_all(ledger, NOW, policy=new)
    erased = [row for row in select_rows(ledger, tables.command) if row.action == "erase"]
    assert sorted((row.system, row.subject) for row in erased) == [
        (system, "visitor:v-m1") for system in ("helpdesk", "mail", "website", "whatsapp")
    ]
