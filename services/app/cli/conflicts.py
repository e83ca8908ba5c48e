"""`termijn conflicts`: keys that several subjects claim, until an operator says whose they are."""

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
    """Keys that two subjects have: nothing about either leaves until somebody says whose it is."""


@conflicts.command("list")
@click.option("--all", "all_", is_flag=True, help="Those that are decided as well.")
@json_option
def list_conflicts(all_: bool, as_json: bool) -> None:
    """List the keys that wait for a decision, oldest first, with each subject that claims them."""
    with (
        open_resources() as opened,
        opened.ledger().transaction() as connection,
    ):
        found = keys.conflicts(connection, decided=all_)
    rows = (
        {
            "key": one.key,
            "subject": subject,
            "events": events,
            "state": _claim_state(one, subject),
            "found_at": format_instant(one.found_at),
        }
        for one in found
        for subject, events in one.claimants.items()
    )
    columns = ("key", "subject", "events", "state", "found_at")
    show(rows, as_json=as_json, title="Key conflicts", columns=columns)


@conflicts.command()
@click.argument("key")
@click.option("--subject", required=True, help="Whose it is, as kind:id.")
@operator_option
@reason_option
def resolve(key: str, subject: str, operator: str, reason: str) -> None:
    """Say whose KEY is (order_id=O1): that subject's commands go, the others' no longer carry it."""

    def work(
        connection: Connection, name: str, value: str, policy: Policy, now: datetime
    ) -> list[str]:
        return keys.decide(connection, name, value, subject, policy, now)

    for clock in _decide("resolve", key, work, operator=operator, reason=reason):
        click.echo(f"open again: {clock}, which another's event had moved")
    click.echo("decided: what is due about all of them leaves")


@conflicts.command()
@click.argument("key")
@operator_option
@reason_option
def reopen(key: str, operator: str, reason: str) -> None:
    """Take back what was decided about KEY: everything stops again, and what is out is recalled."""
    _decide("reopen", key, keys.reopen, operator=operator, reason=reason)
    click.echo("open again: nothing about any of them leaves")


def _decide(
    what: str,
    key: str,
    decide: Callable[[Connection, str, str, Policy, datetime], T],
    *,
    operator: str,
    reason: str,
) -> T:
    name, separator, value = key.partition("=")
    if not separator:
        raise click.UsageError("a key is written NAME=VALUE, as `termijn conflicts list` has it")

    with open_resources() as opened:
        policy, ledger = opened.policy(), opened.ledger()

        def work(connection: Connection) -> T:
            now = database_now(connection)
            active_policy.require_active(connection, policy, now)
            done = decide(connection, name, value, policy, now)
            target = str(key_id(name, value))  # which names nobody
            log_operator_action(
                connection, f"conflicts {what}", target, operator=operator, reason=reason, now=now
            )
            return done

        return ledger.write(work)


def _claim_state(one: Conflict, subject: str) -> str:
    if one.owner is None:
        return "key-conflict"
    return "owner" if subject == one.owner else "other"
