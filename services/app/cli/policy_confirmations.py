"""`termijn policy derived` and `confirm`: terms that are a reading, and who has confirmed them."""

from __future__ import annotations

from collections.abc import Sequence

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
from services.ledger import confirmations as ledger_confirmations
from services.storage.database import database_now

_COLUMNS = ("rule", "derived", "rationale", "confirmed_by", "confirmed_at")


@click.command()
@json_option
def derived(as_json: bool) -> None:
    """List the rules of the active policy whose term or anchor is derived, with who confirmed each.

    A rule that was changed since has to be confirmed again. All are enforced, confirmed or not.
    """
    with open_resources() as opened:
        ledger = opened.ledger()
        policy = opened.active_policy(ledger)
        with ledger.transaction() as connection:
            listed = ledger_confirmations.list_confirmations(connection, policy)
    rows = [
        {
            "rule": item.term.name,
            "derived": list(item.term.derived),
            "rationale": item.term.rationale,
            "confirmed_by": item.operator,
            "confirmed_at": format_instant(item.at),
        }
        for item in listed
    ]
    title = f"{policy.policy} {policy.version}: derived terms"
    show(rows, as_json=as_json, title=title, columns=_COLUMNS)


@click.command()
@click.argument("rules", metavar="RULE", nargs=-1, required=True)
@operator_option
@reason_option
def confirm(rules: Sequence[str], operator: str, reason: str) -> None:
    """Confirm the derived term and anchor of each RULE of the active policy.

    RULE may be `proof`, for the term of the policy's `proof`.
    """
    with open_resources() as opened:
        ledger = opened.ledger()
        policy = opened.active_policy(ledger)

        def work(connection: Connection) -> None:
            now = database_now(connection)
            active_policy.require_active(connection, policy, now)
            ledger_confirmations.confirm(
                connection, policy, rules, now, operator=operator, reason=reason
            )

        ledger.run_in_transaction(work)
    click.echo(f"confirmed: {', '.join(rules)}")
