"""What `explain` and `simulate` say, in the form in which the oracle says it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from schemas.cloudevents import format_rfc3339
from services.deleter.simulation import SimulatedCommand, simulate
from services.policy import loader
from services.policy.explain import Explained, explain
from services.policy.model import Policy
from services.storage.database import Database
from tests import oracle
from tests.contract.arrivals import Event, once_each
from tests.contract.ledgers import emptied
from tests.oracle.catalogue import NOTHING
from tests.oracle.commands import in_order

POLICY = loader.load()


def explained(
    events: list[Event], now: datetime | None = None, policy: Policy = POLICY
) -> list[dict[str, Any]]:
    tagged = [one for _, one in once_each(events, policy)]
    return [_line(one) for one in explain(tagged, policy, now)]


def _line(one: Explained) -> dict[str, Any]:
    return {
        "event": one.event.id,
        "type": one.event.type,
        "subject": one.holding.subject,
        "purpose": one.holding.purpose,
        "basis": one.holding.basis,
        "rule": one.holding.rule,
        "stated": POLICY.rules[one.holding.rule].stated,
        "systems": list(one.holding.systems),
        "anchor_at": _written(one.window.anchor_at),
        "not_before": _written(one.window.not_before),
        "erase_by": _written(one.window.erase_by),
        "due_at": {system: _written(at) for system, at in one.window.due_at.items()},
        "state": one.state,
    }


def _written(at: datetime | None) -> str | None:
    return format_rfc3339(at) if at else None


def expected(
    events: list[Event], now: datetime | None = None, retired: Mapping[str, str] = NOTHING
) -> list[dict[str, Any]]:
    lines = oracle.explain(events, now, retired)
    return [{key: value for key, value in line.items() if key != "anchor"} for line in lines]


def issued(
    ledger: Database, events: list[Event], until: datetime, policy: Policy = POLICY
) -> list[SimulatedCommand]:
    return list(simulate(emptied(ledger), once_each(events, policy), policy, until))


def lines(found: list[SimulatedCommand]) -> list[dict[str, Any]]:
    """One line for each record of each command, in the oracle's order."""
    made = [
        {
            "issued_at": format_rfc3339(one.issued_at),
            "system": one.system,
            "subject": one.subject,
            "action": one.action,
            "record": record,
            "rules": list(one.rules),
            "purposes": list(one.purposes),
            "erase_by": format_rfc3339(one.erase_by) if one.erase_by else None,
        }
        for one in found
        for record in one.records
    ]
    return sorted(made, key=in_order)
