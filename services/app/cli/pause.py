"""`termijn pause`, `drain` and `resume`: stop roles and systems, and let them run again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click
from sqlalchemy import Connection

from services.app.cli.options import operator_option, reason_option
from services.app.cli.session import open_resources, run_in_transaction
from services.deleter import surge_guard
from services.deleter.paused_systems import SCOPE
from services.ledger.forecasts import OpenSurge
from services.operations.ports import PORTS
from services.storage import pause as control


def _pause_command(name: str, state: control.State, meaning: str) -> click.Command:
    def run(scope: str, operator: str, reason: str) -> None:
        with open_resources() as opened:
            policy = opened.active_policy(opened.ledger())
            systems = {f"system:{name}" for name in policy.systems}
        scopes = systems | ({"deleter"} if state == "drained" else set(PORTS))
        if state != "running" and scope not in scopes:
            raise click.UsageError(f"{scope!r} is not a role or system that can be {state}")

        def work(connection: Connection, now: datetime) -> Sequence[OpenSurge]:
            control.set_pause_state(
                connection, scope, state, operator=operator, reason=reason, now=now
            )
            if state != "running" or scope != SCOPE:
                return ()
            return surge_guard.release(connection, operator, now)

        for surge in run_in_transaction(work):
            click.echo(
                f"goes on: rule {surge.rule} in {surge.system}, at least {surge.claimed} due on a day,"
                f" {surge.expected} forecast on {surge.forecast_at:%Y-%m-%d}"
            )
        click.echo(f"{scope}: {state}")

    command = click.command(name, help=meaning)(
        reason_option(operator_option(click.argument("scope")(run)))
    )
    return command


pause = _pause_command(
    "pause", "paused", "Stop SCOPE: a role such as deleter, or a system such as system:crm."
)


drain = _pause_command(
    "drain",
    "drained",
    "Send nothing new for SCOPE (deleter, or system:NAME); finish what was sent.",
)


resume = _pause_command("resume", "running", "Let SCOPE run again.")
