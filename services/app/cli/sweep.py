"""`termijn sweep --dry-run`: preview the commands that are due by an instant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import click
from sqlalchemy import Connection, select

from services.app.cli.options import format_instant, json_option, parse_instant, show
from services.app.cli.session import open_resources
from services.deleter.claim import claim_due
from services.ledger import tables
from services.policy.model import Policy


class _Rollback(Exception):
    """Rolls a transaction back whose result was only previewed."""


@click.command()
@click.option(
    "--dry-run", is_flag=True, required=True, help="Required: this command only previews."
)
@click.option(
    "--now",
    "at",
    type=parse_instant,
    metavar="INSTANT",
    required=True,
    help="Preview what is due by this instant.",
)
@json_option
def sweep(dry_run: bool, at: datetime, as_json: bool) -> None:
    """Preview the commands that the deleter would create by an instant, from the ledger as it is."""
    assert dry_run
    with open_resources() as opened:
        the_ledger = opened.ledger()
        the_policy = opened.active_policy(the_ledger)
        rows: list[dict[str, Any]] = []
        try:
            with the_ledger.transaction() as connection:
                rows = list(_preview_rows(connection, the_policy, at))
                raise _Rollback
        except _Rollback:
            pass
    columns = ("due_at", "system", "subject", "action", "records", "rules", "reason")
    show(rows, as_json=as_json, title=f"Due by {format_instant(at)}", columns=columns)


def _preview_rows(connection: Connection, policy: Policy, at: datetime) -> Iterator[dict[str, Any]]:
    command_ids: list[UUID] = []
    while (claimed := claim_due(connection, policy, at, limit=5_000)).scanned:
        command_ids.extend(claimed.commands)
    column = tables.command.c
    members = tables.member.c
    for command_id in command_ids:
        row = connection.execute(
            select(tables.command, tables.wording)
            .join(tables.wording, tables.wording.c.wording_id == column.wording_id)
            .where(column.command_id == command_id)
        ).one()
        records = connection.execute(
            select(members.record_id).where(members.command_id == command_id)
        )
        yield {
            "due_at": format_instant(row.due_at),
            "system": row.system,
            "subject": row.subject,
            "action": row.action,
            "records": len(records.all()),
            "rules": json.loads(row.rules),
            "reason": row.reason,
        }
