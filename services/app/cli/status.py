"""`termijn status`: the state of the ledger on one screen."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from services.app.cli.options import format_instant, json_option, show
from services.app.cli.session import open_resources
from services.ledger import backfills
from services.operations.status import read_status
from services.storage.database import database_now


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show what is due, late, refused, parked, missing or paused, on one screen."""
    with open_resources() as opened:
        ledger = opened.ledger()
        policy = opened.active_policy(ledger)
        with ledger.transaction() as connection:
            ledger_status = read_status(connection, policy, database_now(connection))
    rows: list[dict[str, Any]] = [
        {"what": "policy", "which": "", "value": ledger_status.policy},
        {"what": "events recorded", "which": "", "value": ledger_status.events},
        {
            "what": "due and not claimed",
            "which": _format_since(ledger_status.oldest_due_at),
            "value": ledger_status.due,
        },
        {
            "what": "past erase_by and not carried out",
            "which": _format_since(min(ledger_status.overdue_by.values(), default=None)),
            "value": ledger_status.overdue,
        },
        {
            "what": "answered that nothing was held",
            "which": "",
            "value": ledger_status.unexpected_acknowledgements,
        },
    ]
    for (system, state), count in sorted(ledger_status.commands.items()):
        rows.append({"what": f"commands {state}", "which": system, "value": count})
    for system, count in sorted(ledger_status.escalated.items()):
        rows.append({"what": "commands escalated", "which": system, "value": count})
    for system, count in sorted(ledger_status.undeliverable.items()):
        rows.append({"what": "commands undeliverable", "which": system, "value": count})
    for reason, count in sorted(ledger_status.dead_letters.items()):
        rows.append({"what": "dead letters parked", "which": reason, "value": count})
    for reach, count in sorted(ledger_status.kept_back.items()):
        label = "parked events that keep erasures back"
        rows.append({"what": label, "which": reach, "value": count})
    for gap in ledger_status.gaps:
        place = f"{gap.log.topic}[{gap.log.partition}]"
        rows.append({"what": f"gap of the {gap.role}", "which": place, "value": gap.expected})
    for pause in ledger_status.pauses:
        ordered_by = f"{pause.operator}: {pause.reason}"
        rows.append(
            {
                "what": f"{pause.state} since {format_instant(pause.at)}",
                "which": pause.scope,
                "value": ordered_by,
            }
        )
    rows += map(_backfill_row, ledger_status.backfills)
    if ledger_status.key_conflicts:
        rows.append({"what": "key-conflict", "which": "", "value": ledger_status.key_conflicts})
    for clock, count in sorted(ledger_status.open_too_long.items()):
        if count:
            rows.append({"what": "clocks open too long", "which": clock, "value": count})
    show(
        rows,
        as_json=as_json,
        title=f"At {format_instant(ledger_status.at)}",
        columns=("what", "which", "value"),
    )


def _backfill_row(pending: backfills.PendingBackfill) -> dict[str, Any]:
    """Return the row of an import that is not released yet."""
    if not pending.is_history:
        return {"what": "backfill waits", "which": pending.backfill, "value": pending.records}
    waiting = pending.records + pending.clocks  # most ends of clocks make no record
    return {"what": "history waits", "which": pending.backfill, "value": waiting}


def _format_since(at: datetime | None) -> str:
    return f"since {format_instant(at)}" if at else ""
