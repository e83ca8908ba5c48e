"""`termijn explain` and `termijn simulate`: what a file of events leads to, without Kafka or ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from services.app import settings_loader
from services.app.cli.options import (
    format_instant,
    json_option,
    last_instant,
    parse_instant,
    parse_instant_or_date,
    show,
)
from services.app.settings import Settings
from services.deleter.simulation import SimulatedCommand
from services.deleter.simulation import simulate as simulate_events
from services.events.event_file import read_tagged_events
from services.events.history import format_bound
from services.ledger import key_conflicts, migrate
from services.policy.explain import ExplainedHolding, explain_events
from services.policy.loader import load
from services.policy.model import Policy
from services.storage.database import open_database

_FILE = click.argument("events", type=click.Path(path_type=Path), metavar="EVENTS.jsonl")
_POLICY = click.option(
    "--policy",
    type=click.Path(path_type=Path),
    help="The policy file; by default the configured one.",
)


@click.command()
@_FILE
@_POLICY
@json_option
@click.option(
    "--now",
    type=parse_instant,
    metavar="INSTANT",
    help="The instant for the state of holdings; by default the latest event's time.",
)
def explain(events: Path, policy: Path | None, as_json: bool, now: datetime | None) -> None:
    """Print each holding of the events in a file, with its window.

    The file is taken as all events there are; their order makes no difference. Events need only their
    decision fields.
    """
    settings = settings_loader.load()
    the_policy = load(policy or settings.storage.policy)
    tagged = [event for _, event in read_tagged_events(events, the_policy)]
    rows = (
        _holding_row(holding, the_policy) for holding in explain_events(tagged, the_policy, now)
    )
    columns = ("event", "subject", "purpose", "rule", "window", "due_at", "state")
    shown = rows if as_json else map(_with_window, rows)
    show(shown, as_json=as_json, title="Holdings", columns=columns)
    _warn_of_held_back_events(settings, as_json=as_json)


@click.command()
@_FILE
@_POLICY
@json_option
@click.option(
    "--until",
    type=parse_instant_or_date,
    metavar="INSTANT|DATE",
    required=True,
    help="Where the virtual clock stops; a date is the end of that day in the controller's time zone.",
)
def simulate(events: Path, policy: Path | None, as_json: bool, until: datetime | date) -> None:
    """Run the ledger and the deleter on a virtual clock, and print each command when it is sent.

    Events are recorded at their own time, and every system acknowledges at once. The order of the lines
    makes no difference. Events need only their decision fields.
    """
    settings = settings_loader.load()
    the_policy = load(policy or settings.storage.policy)
    tagged = read_tagged_events(events, the_policy)
    end = last_instant(until, the_policy.controller.zone)
    columns = ("issued_at", "system", "subject", "action", "records", "rules", "erase_by", "reason")

    def rows() -> Iterator[dict[str, Any]]:
        with closing(open_database("sqlite://")) as ledger:
            migrate.create_schema(ledger)
            for command in simulate_events(ledger, tagged, the_policy, end):
                yield _command_row(command)
            with ledger.transaction() as connection:
                waiting = key_conflicts.count_undecided(connection)
        if waiting:
            note = "no command is sent about them until `termijn conflicts resolve`"
            click.echo(f"{waiting} keys are claimed by several subjects: {note}", err=True)

    show(rows(), as_json=as_json, title="Commands", columns=columns)
    _warn_of_held_back_events(settings, as_json=as_json)


def _warn_of_held_back_events(settings: Settings, *, as_json: bool) -> None:
    """Warn that production holds old events back: a file has no arrival times, so none is old here."""
    if not as_json:
        bound = format_bound(settings.tagging.bound)
        click.echo(
            f"in production, live events older than their arrival by more than {bound} are held back"
            " until `termijn backfill release`",
            err=True,
        )


def _holding_row(explained: ExplainedHolding, policy: Policy) -> dict[str, Any]:
    rule = policy.rules[explained.holding.rule]
    return {
        "event": explained.event.id,
        "type": explained.event.type,
        "subject": explained.holding.subject,
        "purpose": explained.holding.purpose,
        "basis": explained.holding.basis,
        "rule": explained.holding.rule,
        "stated": rule.is_in_statement,
        "systems": list(explained.holding.systems),
        "anchor": str(rule.anchor),
        "anchor_at": format_instant(explained.window.anchor_at),
        "not_before": format_instant(explained.window.not_before),
        "erase_by": format_instant(explained.window.erase_by),
        "due_at": {
            system: format_instant(at) for system, at in sorted(explained.window.due_at.items())
        },
        "state": explained.state,
    }


def _with_window(row: dict[str, Any]) -> dict[str, Any]:
    """Add the anchor and the window in one cell, so that the table fits a terminal."""
    window = {
        row["anchor"]: row["anchor_at"],
        "not before": row["not_before"],
        "erase by": row["erase_by"],
    }
    return {**row, "window": {key: at for key, at in window.items() if at or key == row["anchor"]}}


def _command_row(command: SimulatedCommand) -> dict[str, Any]:
    return {
        "issued_at": format_instant(command.issued_at),
        "system": command.system,
        "subject": command.subject,
        "action": command.action,
        "records": list(command.records),
        "rules": list(command.rules),
        "purposes": list(command.purposes),
        "erase_by": format_instant(command.erase_by),
        "reason": command.reason,
    }
