"""`termijn conflicts`: keys that several subjects claim, and the operator's decisions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import click
from sqlalchemy import Connection

from services.app.cli.options import (
    format_instant,
    json_option,
    operator_option,
    reason_option,
    show,
)
from services.app.cli.session import open_resources
from services.ledger import active_policy
from services.ledger import key_conflicts as keys
from services.ledger.key_conflicts import Conflict
from services.policy.ids import key_id
from services.policy.model import Policy
from services.storage.database import database_now
from services.storage.operator_log import log_operator_action

T = TypeVar("T")


@click.group()
def conflicts() -> None:
    """Keys that several subjects claim: no command is sent about them until an operator decides."""


@conflicts.command("list")
@click.option("--all", "all_", is_flag=True, help="Also conflicts that are decided.")
@json_option
def list_conflicts(all_: bool, as_json: bool) -> None:
    """List the conflicts that need a decision, oldest first, with each subject that claims the key."""
    with (
        open_resources() as opened,
        opened.ledger().transaction() as connection,
    ):
        listed = keys.list_conflicts(connection, decided=all_)
    rows = (
        {
            "key": conflict.key,
            "subject": subject,
            "events": events,
            "state": _claim_state(conflict, subject),
            "found_at": format_instant(conflict.found_at),
        }
        for conflict in listed
        for subject, events in conflict.claimants.items()
    )
    columns = ("key", "subject", "events", "state", "found_at")
    show(rows, as_json=as_json, title="Key conflicts", columns=columns)


@conflicts.command()
@click.argument("key")
@click.option("--subject", required=True, help="Whose it is, as kind:id.")
@operator_option
@reason_option
def resolve(key: str, subject: str, operator: str, reason: str) -> None:
    """Decide whose KEY (order_id=O1) is: commands about other subjects no longer contain it."""

    def work(
        connection: Connection, name: str, value: str, policy: Policy, now: datetime
    ) -> list[str]:
        return keys.decide_conflict(connection, name, value, subject, policy, now)

    for clock in _decide("resolve", key, work, operator=operator, reason=reason):
        click.echo(f"open again: {clock}, which an event of another subject had changed")
    click.echo("decided: commands about these subjects are sent again")


@conflicts.command()
@click.argument("key")
@operator_option
@reason_option
def reopen(key: str, operator: str, reason: str) -> None:
    """Withdraw the decision about KEY: its subjects get no commands, and sent ones are recalled."""
    _decide("reopen", key, keys.reopen_conflict, operator=operator, reason=reason)
    click.echo("open again: no command is sent about these subjects")


def _decide(
    operation: str,
    key: str,
    decide: Callable[[Connection, str, str, Policy, datetime], T],
    *,
    operator: str,
    reason: str,
) -> T:
    name, separator, value = key.partition("=")
    if not separator:
        raise click.UsageError("KEY must be NAME=VALUE, as in `termijn conflicts list`")

    with open_resources() as opened:
        ledger = opened.ledger()
        policy = opened.active_policy(ledger)

        def work(connection: Connection) -> T:
            now = database_now(connection)
            active_policy.require_active(connection, policy, now)
            result = decide(connection, name, value, policy, now)
            target = str(key_id(name, value))  # a hash, which holds no personal data
            log_operator_action(
                connection,
                f"conflicts {operation}",
                target,
                operator=operator,
                reason=reason,
                now=now,
            )
            return result

        return ledger.run_in_transaction(work)


def _claim_state(conflict: Conflict, subject: str) -> str:
    if conflict.owner is None:
        return "key-conflict"
    return "owner" if subject == conflict.owner else "other"
