"""`termijn forecast` and `release`: preview what an import would erase, and release it."""

from __future__ import annotations

from datetime import datetime

import click
from sqlalchemy import Connection

from services.app.cli.options import json_option, operator_option, show
from services.app.cli.session import open_resources, run_in_transaction
from services.deleter.forecast import forecast as forecast_backfill
from services.ledger import backfills
from services.storage.database import database_now
from services.storage.operator_log import log_operator_action


@click.command()
@click.argument("backfill")
@json_option
def forecast(backfill: str, as_json: bool) -> None:
    """Show which commands would be sent at once if BACKFILL were released, by system and rule."""
    show_forecast(backfill, as_json=as_json)


def show_forecast(backfill: str, *, as_json: bool) -> None:
    """Print the forecast of an import."""
    with open_resources() as opened:
        the_ledger, the_policy = opened.ledger(), opened.policy()
        with the_ledger.transaction() as connection:
            lines = forecast_backfill(connection, backfill, the_policy, database_now(connection))
    rows = (
        {"system": line.system, "rule": line.rule, "action": line.action, "records": line.records}
        for line in lines
    )
    title = f"{backfill}: sent on release"
    show(rows, as_json=as_json, title=title, columns=("system", "rule", "action", "records"))


@click.command()
@click.argument("backfill")
@operator_option
@click.option("--reason", default="released after its forecast", help="Why; it is logged.")
def release(backfill: str, operator: str, reason: str) -> None:
    """Release the import BACKFILL, so that the deleter may act on its records."""

    def work(connection: Connection, now: datetime) -> None:
        backfills.release(connection, backfill, operator, now)
        log_operator_action(
            connection, "release", backfill, operator=operator, reason=reason, now=now
        )

    run_in_transaction(work)
    click.echo(f"released {backfill}")
