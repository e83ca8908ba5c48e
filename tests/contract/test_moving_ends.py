"""Ends of rules that move after a command is out: what no longer holds is recalled, and nothing else.

Each on SQLite and on PostgreSQL. Files of 1 January 2020 at 12:00Z are kept by one system.
"""

from __future__ import annotations

import pytest

from services.policy.loader import load_text
from services.policy.model import Policy
from services.storage.database import Database
from tests.contract.event_builders import Event
from tests.contract.ledgers import FakeBus, claim_all, list_commands, record_events, send_due
from tests.oracle.examples.language.forms import happened, one_rule, opened
from tests.oracle.language import Anchor, EventType, Move, Part, Rule
from tests.oracle.language.policy_text import policy_text

CASE, REPORT = Anchor(kind="clock", name="case"), Anchor(kind="clock", name="report")
OPENED = opened("2020-01-01T12")
CHANGED = {
    "case.accepted": EventType(moves=(Move(clock="case", ends=True, outcome="accepted"),)),
    "case.dated": EventType(
        moves=(Move(clock="case", ends=True, at="valid_until"),), dates=("valid_until",)
    ),
}


class Life:
    """A ledger under a policy of one rule."""

    def __init__(self, ledger: Database, rule: Rule) -> None:
        self.ledger, self.bus = ledger, FakeBus()
        self.policy: Policy = load_text(policy_text(one_rule(rule, types=CHANGED)), "rule.yaml")

    def happens(self, at: str, *events: Event) -> list[tuple[str, str]]:
        """Record events, claim and send by an instant; return the action and state of each command."""
        record_events(self.ledger, events, at, policy=self.policy)
        claim_all(self.ledger, at, policy=self.policy)
        send_due(self.ledger, self.bus, at, policy=self.policy)
        return [(action, state) for _, action, state in list_commands(self.ledger)]


SENT = [("erase", "sent")]
RECALLED = [("erase", "recalling"), ("recall", "sent")]


def test_a_clock_that_begins_recalls_what_it_now_keeps(ledger: Database) -> None:
    """A report is made after the erasure has left, and before it was carried out: ten years more."""
    parts = (Part(term="P1Y"), Part(term="P10Y", anchor=REPORT, if_any=True))
    life = Life(ledger, Rule(kind="at_least", ends="last", parts=parts))
    assert life.happens("2021-01-02T12:00:00Z", OPENED) == SENT
    began = happened("r1", "report.started", "2021-01-02T13")
    assert life.happens("2021-01-02T14:00:00Z", began) == RECALLED


def test_a_later_end_does_not_recall_what_the_first_has_ended(ledger: Database) -> None:
    """The case ends after the erasure has left: the term of the file was over first."""
    parts = (Part(term="P1Y"), Part(term="P1M", anchor=CASE))
    life = Life(ledger, Rule(kind="at_most", ends="first", parts=parts))
    assert life.happens("2020-12-31T12:00:00Z", OPENED) == SENT
    assert (
        life.happens("2020-12-31T14:00:00Z", happened("c1", "case.ended", "2020-12-31T13")) == SENT
    )
    began = happened("c2", "case.started", "2020-12-31T14")
    assert life.happens("2020-12-31T15:00:00Z", began) == SENT


def test_a_correction_of_the_first_end_recalls(ledger: Database) -> None:
    """The case had not ended: the file's own term holds again, and is not over."""
    parts = (Part(term="P9Y"), Part(term="P1M", anchor=CASE))
    life = Life(ledger, Rule(kind="at_most", ends="first", parts=parts))
    closed = happened("c1", "case.ended", "2020-02-01T12")
    assert life.happens("2020-03-01T12:00:00Z", OPENED, closed) == SENT
    began = happened("c2", "case.started", "2020-02-02T12")
    assert life.happens("2020-03-01T14:00:00Z", began) == RECALLED


def test_another_outcome_at_the_same_instant_recalls(ledger: Database) -> None:
    """It is reported late that the case was accepted: two years instead of a month."""
    part = Part(term="P1M", terms={"accepted": "P2Y"}, anchor=CASE)
    life = Life(ledger, Rule(kind="at_most", parts=(part,)))
    closed = happened("c1", "case.ended", "2020-02-01T12")
    assert life.happens("2020-03-01T12:00:00Z", OPENED, closed) == SENT
    accepted = happened("c2", "case.accepted", "2020-02-01T12")
    assert life.happens("2020-03-01T14:00:00Z", accepted) == RECALLED


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_date_that_is_moved_recalls_in_any_order(
    ledger: Database, order: tuple[int, int]
) -> None:
    """The last event about the case decides, whichever arrives first: the earlier one changes nothing."""
    life = Life(ledger, Rule(kind="at_most", parts=(Part(term="P1M", anchor=CASE),)))
    dated = (
        happened("d1", "case.dated", "2020-01-02T12", valid_until="2020-06-01"),
        happened("d2", "case.dated", "2020-01-03T12", valid_until="2020-02-01"),
    )
    assert life.happens("2020-03-01T12:00:00Z", OPENED, *(dated[n] for n in order)) == SENT
    later = happened("d3", "case.dated", "2020-01-04T12", valid_until="2041-02-01")
    assert life.happens("2020-03-01T14:00:00Z", later) == RECALLED


def test_a_record_that_arrives_after_all_ends_is_due_at_once(ledger: Database) -> None:
    """The clock was scanned long before; the deciding end is the file's own."""
    parts = (Part(term="P3Y"), Part(term="P1Y", anchor=CASE))
    life = Life(ledger, Rule(kind="at_least", ends="last", parts=parts))
    assert life.happens("2024-01-01T12:00:00Z", happened("c1", "case.ended", "2020-02-01T12")) == []
    assert life.happens("2024-01-02T12:00:00Z", OPENED) == SENT
