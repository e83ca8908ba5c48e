"""`termijn status`: the state of the ledger on one screen."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from services.app.cli.options import (
    format_instant,
    json_option,
    show,
)
from services.app.cli.session import open_resources
from services.ledger import backfills
from services.operations.status import read_status
from services.storage.database import database_now


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show what is due, late, refused, parked, missing or paused, on one screen."""
    with open_resources() as opened:
        ledger, policy = opened.ledger(), opened.policy()
        with ledger.transaction() as connection:
            seen = read_status(connection, policy, database_now(connection))
    rows: list[dict[str, Any]] = [
        {"what": "policy", "which": "", "value": seen.policy},
        {"what": "events recorded", "which": "", "value": seen.events},
        {
            "what": "due and not claimed",
            "which": _format_since(seen.oldest_due_at),
            "value": seen.due,
        },
        {
            "what": "past erase_by and not carried out",
            "which": _format_since(min(seen.overdue_by.values(), default=None)),
            "value": seen.overdue,
        },
        {
            "what": "answered that nothing was held",
            "which": "",
            "value": seen.unexpected_acknowledgements,
        },
    ]
    for (system, state), count in sorted(seen.commands.items()):
        rows.append({"what": f"commands {state}", "which": system, "value": count})
    for system, count in sorted(seen.escalated.items()):
        rows.append({"what": "commands escalated", "which": system, "value": count})
    for system, count in sorted(seen.undeliverable.items()):
        rows.append({"what": "commands undeliverable", "which": system, "value": count})
    for reason, count in sorted(seen.dead_letters.items()):
        rows.append({"what": "dead letters parked", "which": reason, "value": count})
    for reach, count in sorted(seen.kept_back.items()):
        what = "parked events that keep erasures back"
        rows.append({"what": what, "which": reach, "value": count})
    for gap in seen.gaps:
        place = f"{gap.log.topic}[{gap.log.partition}]"
        rows.append({"what": f"gap of the {gap.role}", "which": place, "value": gap.expected})
    for stop in seen.pauses:
        who = f"{stop.operator}: {stop.reason}"
        rows.append(
            {
                "what": f"{stop.state} since {format_instant(stop.at)}",
                "which": stop.scope,
                "value": who,
            }
        )
    rows += map(_backfill_row, seen.backfills)
    if seen.key_conflicts:
        rows.append({"what": "key-conflict", "which": "", "value": seen.key_conflicts})
    for clock, count in sorted(seen.open_too_long.items()):
        if count:
            rows.append({"what": "clocks open too long", "which": clock, "value": count})
    show(
        rows,
        as_json=as_json,
        title=f"At {format_instant(seen.at)}",
        columns=("what", "which", "value"),
    )


def _backfill_row(one: backfills.PendingBackfill) -> dict[str, Any]:
    """Return the row of an import that is not released yet."""
    if not one.is_history:
        return {"what": "backfill waits", "which": one.backfill, "value": one.records}
    held = one.records + one.clocks  # most ends of clocks make no record
    return {"what": "history waits", "which": one.backfill, "value": held}


def _format_since(at: datetime | None) -> str:
    return f"since {format_instant(at)}" if at else ""
