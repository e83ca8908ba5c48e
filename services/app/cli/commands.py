"""`termijn commands`: list open commands, retry, resend or abandon them."""

from __future__ import annotations

from datetime import datetime
from typing import get_args
from uuid import UUID

import click
from sqlalchemy import Connection, select

from services.app.cli.options import (
    format_instant,
    json_option,
    operator_option,
    parse_instant,
    reason_option,
    show,
)
from services.app.cli.session import open_resources, run_in_transaction
from services.app.wiring.resources import Resources
from services.deleter import escalation, manual_retry, verification
from services.ledger import tables
from services.ledger.command_state import OUTSTANDING, State
from services.storage.database import database_now
from services.storage.operator_log import log_operator_action


@click.group()
def commands() -> None:
    """Commands that systems have not carried out yet."""


@commands.command("list")
@click.option("--system", help="Only commands of this system.")
@click.option(
    "--state",
    "states",
    type=click.Choice(get_args(State)),
    multiple=True,
    help="Only commands in this state, such as attested: carried out, but it cannot be verified.",
)
@json_option
def list_commands(system: str | None, states: tuple[str, ...], as_json: bool) -> None:
    """List the open commands, or those in the given states, oldest first."""
    column = tables.command.c
    shown_states = states or (*OUTSTANDING, "refused")
    query = select(tables.command).where(column.state.in_(shown_states)).order_by(column.due_at)
    if system:
        query = query.where(column.system == system)
    command_rows = run_in_transaction(lambda connection, _: connection.execute(query).all())
    rows = (
        {
            "command": str(row.command_id),
            "system": row.system,
            "action": row.action,
            "state": row.state,
            "attempt": row.attempt,
            "due_at": format_instant(row.due_at),
            "erase_by": format_instant(row.erase_by),
            "next_attempt_at": format_instant(row.next_attempt_at),
            "outcome": row.outcome,
            "escalated_at": format_instant(row.escalated_at),
        }
        for row in command_rows
    )
    columns = (
        "command",
        "system",
        "action",
        "state",
        "attempt",
        "due_at",
        "outcome",
        "escalated_at",
    )
    show(rows, as_json=as_json, title="Commands" if states else "Open commands", columns=columns)


@commands.command("abandon")
@click.argument("command", type=click.UUID)
@operator_option
@reason_option
def abandon_command(command: UUID, operator: str, reason: str) -> None:
    """Give up COMMAND: it is closed and not sent again, and the operator is responsible for its data."""

    def work(connection: Connection, now: datetime) -> None:
        escalation.close_command(connection, command, now)
        log_operator_action(
            connection, "commands abandon", str(command), operator=operator, reason=reason, now=now
        )

    run_in_transaction(work)
    click.echo(f"abandoned {command}")


@commands.command("retry")
@click.argument("command", type=click.UUID, required=False)
@click.option("--system", help="Every command that this system refused or has not finished.")
@operator_option
@reason_option
def retry_commands(command: UUID | None, system: str | None, operator: str, reason: str) -> None:
    """Send COMMAND again at once, after its system was fixed; a controller's refusal is final."""
    if (command is None) == (system is None):
        raise click.UsageError("give either COMMAND or --system SYSTEM")

    def work(opened: Resources, connection: Connection) -> int:
        the_policy, now = opened.lock_active_policy(connection), database_now(connection)
        if command is not None:
            manual_retry.retry(connection, command, the_policy, now)
        retried = manual_retry.retry_all(connection, system, the_policy, now) if system else 1
        target = system or str(command)
        log_operator_action(
            connection, "commands retry", target, operator=operator, reason=reason, now=now
        )
        return retried

    with open_resources() as opened:
        ledger = opened.ledger()
        retried = ledger.run_in_transaction(lambda connection: work(opened, connection))
    click.echo(
        f"{system}: {retried} commands will be sent again"
        if system
        else f"will be sent again: {command}"
    )


@commands.command("resend")
@click.option("--system", required=True, help="The system that was restored.")
@click.option(
    "--since", type=parse_instant, metavar="INSTANT", required=True, help="The time of its backup."
)
@operator_option
@reason_option
def resend_commands(system: str, since: datetime, operator: str, reason: str) -> None:
    """After a restore of SYSTEM: send every command since its backup again."""

    def work(connection: Connection, now: datetime) -> int:
        repeated = verification.recommand_since(connection, system, since, now)
        log_operator_action(
            connection, "commands resend", system, operator=operator, reason=reason, now=now
        )
        return repeated

    click.echo(f"{system}: {run_in_transaction(work)} commands will be sent again")
