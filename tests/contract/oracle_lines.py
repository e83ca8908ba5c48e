"""The output of `explain` and `simulate`, converted to the form of the oracle's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from schemas.cloudevents import format_rfc3339
from services.deleter.simulation import SimulatedCommand, simulate
from services.policy import explain, loader
from services.policy.explain import ExplainedHolding
from services.policy.model import Policy
from services.storage.database import Database
from tests import oracle
from tests.contract.event_builders import Event, tag_distinct
from tests.contract.ledgers import empty_database
from tests.oracle.catalogue import NOTHING
from tests.oracle.commands import in_order

POLICY = loader.load()


def explain_events(
    events: list[Event], now: datetime | None = None, policy: Policy = POLICY
) -> list[dict[str, Any]]:
    tagged = [tagged_event for _, tagged_event in tag_distinct(events, policy)]
    return [_line(holding) for holding in explain.explain_events(tagged, policy, now)]


def _line(explained: ExplainedHolding) -> dict[str, Any]:
    return {
        "event": explained.event.id,
        "type": explained.event.type,
        "subject": explained.holding.subject,
        "purpose": explained.holding.purpose,
        "basis": explained.holding.basis,
        "rule": explained.holding.rule,
        "stated": POLICY.rules[explained.holding.rule].is_in_statement,
        "systems": list(explained.holding.systems),
        "anchor_at": _format(explained.window.anchor_at),
        "not_before": _format(explained.window.not_before),
        "erase_by": _format(explained.window.erase_by),
        "due_at": {system: _format(at) for system, at in explained.window.due_at.items()},
        "state": explained.state,
    }


def _format(at: datetime | None) -> str | None:
    return format_rfc3339(at) if at else None


def expected_lines(
    events: list[Event], now: datetime | None = None, retired: Mapping[str, str] = NOTHING
) -> list[dict[str, Any]]:
    lines = oracle.explain(events, now, retired)
    return [{key: value for key, value in line.items() if key != "anchor"} for line in lines]


def simulate_events(
    ledger: Database, events: list[Event], until: datetime, policy: Policy = POLICY
) -> list[SimulatedCommand]:
    return list(simulate(empty_database(ledger), tag_distinct(events, policy), policy, until))


def command_lines(commands: list[SimulatedCommand]) -> list[dict[str, Any]]:
    """Return one line for each record of each command, in the oracle's order."""
    lines = [
        {
            "issued_at": format_rfc3339(command.issued_at),
            "system": command.system,
            "subject": command.subject,
            "action": command.action,
            "record": record,
            "rules": list(command.rules),
            "purposes": list(command.purposes),
            "erase_by": format_rfc3339(command.erase_by) if command.erase_by else None,
        }
        for command in commands
        for record in command.records
    ]
    return sorted(lines, key=in_order)
