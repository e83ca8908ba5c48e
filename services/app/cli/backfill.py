"""`termijn backfill`: list imports that wait, preview what one would erase, and release it."""

from __future__ import annotations

import click
from sqlalchemy import Connection

from services.app.cli.options import format_instant, json_option, operator_option, show
from services.app.cli.session import open_resources, run_in_transaction
from services.deleter.flow_forecast import expect_released
from services.deleter.forecast import forecast as forecast_backfill
from services.ledger import active_policy, backfills
from services.storage.database import database_now
from services.storage.operator_log import log_operator_action


@click.group()
def backfill() -> None:
    """Imports of history and live events with an old time, which wait until an operator releases them."""


@backfill.command("list")
@json_option
def list_backfills(as_json: bool) -> None:
    """List the imports and groups of old events that wait for release, oldest first."""
    pending = run_in_transaction(lambda connection, _: backfills.pending_backfills(connection))
    rows = (
        {
            "backfill": waiting.backfill,
            "started_at": format_instant(waiting.started_at),
            "records": waiting.records,
            "clocks": waiting.clocks,
        }
        for waiting in pending
    )
    columns = ("backfill", "started_at", "records", "clocks")
    show(rows, as_json=as_json, title="Waiting for release", columns=columns)


@backfill.command()
@click.argument("name", metavar="BACKFILL")
@json_option
def forecast(name: str, as_json: bool) -> None:
    """Show which commands would be sent at once if BACKFILL were released, by system and rule."""
    show_forecast(name, as_json=as_json)


def show_forecast(name: str, *, as_json: bool) -> None:
    """Print the forecast of an import."""
    with open_resources() as opened:
        the_ledger = opened.ledger()
        the_policy = opened.active_policy(the_ledger)
        with the_ledger.transaction() as connection:
            lines = forecast_backfill(connection, name, the_policy, database_now(connection))
    rows = (
        {"system": line.system, "rule": line.rule, "action": line.action, "records": line.records}
        for line in lines
    )
    title = f"{name}: sent on release"
    show(rows, as_json=as_json, title=title, columns=("system", "rule", "action", "records"))


@backfill.command()
@click.argument("name", metavar="BACKFILL")
@operator_option
@click.option("--reason", default="released after its forecast", help="Why; it is logged.")
def release(name: str, operator: str, reason: str) -> None:
    """Release the import BACKFILL, so that the deleter may act on its records.

    What it makes due counts as forecast: the surge guard does not stop the deleter because of it.
    """
    with open_resources() as opened:
        ledger = opened.ledger()
        policy = opened.active_policy(ledger)

        def work(connection: Connection) -> None:
            now = database_now(connection)
            active_policy.require_active(connection, policy, now)
            expect_released(connection, name, policy, now)
            backfills.release(connection, name, operator, now)
            log_operator_action(
                connection, "backfill release", name, operator=operator, reason=reason, now=now
            )

        ledger.run_in_transaction(work)
    click.echo(f"released {name}")
