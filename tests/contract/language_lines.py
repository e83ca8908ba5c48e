"""The output of `explain` and `simulate` under a schedule of the oracle, in the form of the oracle's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from schemas.cloudevents import format_rfc3339
from services.policy import explain
from services.policy.explain import ExplainedHolding
from services.policy.loader import load_text
from services.policy.model import Policy
from services.policy.reasons import IN_TEST
from services.storage.database import Database
from tests.contract.event_builders import Event, tag_distinct
from tests.contract.oracle_lines import command_lines, simulate_events
from tests.oracle.language.policy_text import policy_text
from tests.oracle.language.rules import Schedule


def policy_of(schedule: Schedule) -> Policy:
    """Return the policy that the product reads from the schedule's text."""
    return load_text(policy_text(schedule), "oracle.yaml")


def explain_under(
    schedule: Schedule, events: list[Event], now: datetime | None = None
) -> list[dict[str, Any]]:
    """Return the product's lines, with the keys of the oracle's but `anchors`."""
    policy = policy_of(schedule)
    tagged = [tagged_event for _, tagged_event in tag_distinct(events, policy)]
    lines = [_line(holding) for holding in explain.explain_events(tagged, policy, now)]
    return sorted(lines, key=_by_holding)


def expected_lines(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the oracle's lines in the form of `explain_under`."""
    compared = [{k: value for k, value in line.items() if k != "anchors"} for line in lines]
    return sorted(compared, key=_by_holding)


def simulate_under(
    ledger: Database, schedule: Schedule, events: list[Event], until: datetime
) -> list[dict[str, Any]]:
    """Return the product's commands, one line for each record, in the oracle's order.

    What only rules in test would require is shown by the product and not sent: it is left out.
    """
    commands = simulate_events(ledger, events, until, policy_of(schedule))
    return command_lines([each for each in commands if not each.reason.startswith(IN_TEST)])


def _line(explained: ExplainedHolding) -> dict[str, Any]:
    return {
        "event": explained.event.id,
        "type": explained.event.type,
        "subject": explained.holding.subject,
        "purpose": explained.holding.purpose,
        "rule": explained.holding.rule,
        "systems": sorted(explained.holding.systems),
        "anchor_at": _format(explained.window.anchor_at),
        "not_before": _format(explained.window.not_before),
        "erase_by": _format(explained.window.erase_by),
        "due_at": {system: _format(at) for system, at in explained.window.due_at.items()},
        "state": explained.state,
    }


def _by_holding(line: dict[str, Any]) -> tuple[str, ...]:
    return line["event"], line["purpose"], line["subject"], line["rule"], *line["systems"]


def _format(at: datetime | None) -> str | None:
    return format_rfc3339(at) if at else None
