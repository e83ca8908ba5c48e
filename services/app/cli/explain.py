"""`termijn explain` and `termijn simulate`: what a file of events leads to, without Kafka or ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from schemas.cloudevents import CloudEvent
from services.app import settings_loader
from services.app.cli.options import (
    format_instant,
    json_option,
    last_instant,
    parse_instant,
    parse_instant_or_date,
    show,
)
from services.app.cli.policy_source import confirmed_rules
from services.app.settings import Settings
from services.app.wiring.resources import utc_now
from services.deleter.simulation import SimulatedCommand
from services.deleter.simulation import simulate as simulate_events
from services.events.event_file import read_tagged_events
from services.events.history import format_bound
from services.ledger import key_conflicts, migrate
from services.policy.conditions import conditions
from services.policy.explain import ExplainedHolding, explain_events
from services.policy.loader import load
from services.policy.model import Policy
from services.policy.reasons import IN_TEST
from services.policy.tagged_event import TaggedEvent
from services.policy.tagging import check_arrival
from services.policy.tagging_error import TaggingFailed
from services.policy.validation_conditions import conditions_in_words
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
@click.option(
    "--ledger",
    "with_ledger",
    is_flag=True,
    help="Also show whether derived terms are confirmed in the ledger.",
)
def explain(
    events: Path, policy: Path | None, as_json: bool, now: datetime | None, with_ledger: bool
) -> None:
    """Print each holding of the events in a file, with its window.

    The file is taken as all events there are; their order makes no difference. Events need only their
    decision fields.
    """
    settings = settings_loader.load()
    the_policy = load(policy or settings.storage.policy)
    pairs = read_tagged_events(events, the_policy)
    tagged = [event for _, event in pairs]
    rows = (
        _holding_row(holding, the_policy) for holding in explain_events(tagged, the_policy, now)
    )
    columns: tuple[str, ...]
    columns = ("event", "subject", "purpose", "rule", "window", "due_at", "state")
    if with_ledger:
        confirmed = confirmed_rules(the_policy)
        rows = ({**row, "confirmed": confirmed.get(row["rule"])} for row in rows)
        columns = (*columns, "confirmed")
    shown = rows if as_json else map(_with_window, rows)
    show(shown, as_json=as_json, title="Holdings", columns=columns)
    if not as_json:
        _warn_of_production(settings, tagged, now)


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
            commands = simulate_events(ledger, tagged, the_policy, end)
            if the_policy.has_rules_in_test:
                commands = _with_commands_in_test(commands, tagged, the_policy, end)
            for command in commands:
                yield _command_row(command)
            with ledger.transaction() as connection:
                waiting = key_conflicts.count_undecided(connection)
        if waiting:
            note = "no command is sent about them until `termijn conflicts resolve`"
            click.echo(f"{waiting} keys are claimed by several subjects: {note}", err=True)

    show(rows(), as_json=as_json, title="Commands", columns=columns)
    if not as_json:
        _warn_of_production(settings, [event for _, event in tagged], None)


def _with_commands_in_test(
    commands: Iterable[SimulatedCommand],
    events: Sequence[tuple[CloudEvent, TaggedEvent]],
    policy: Policy,
    until: datetime,
) -> Iterator[SimulatedCommand]:
    """Return the commands with those that are only sent once the rules in test are active, by time."""
    sent = list(commands)
    with closing(open_database("sqlite://")) as ledger:
        migrate.create_schema(ledger)
        in_test = Counter(simulate_events(ledger, events, policy.with_all_rules_active(), until))
    in_test.subtract(sent)
    marked = [
        replace(command, reason=f"{IN_TEST}: {command.reason}") for command in in_test.elements()
    ]
    yield from sorted([*sent, *marked], key=lambda command: command.issued_at)


def _warn_of_production(
    settings: Settings, events: Sequence[TaggedEvent], now: datetime | None
) -> None:
    """Warn of what production would hold back or park: a file has no times of arrival to judge by.

    The second line is about events that are too far ahead of `now`, UTC, by default of this moment.
    """
    bound = format_bound(settings.tagging.bound)
    click.echo(
        f"in production, live events older than their arrival by more than {bound} are held back"
        " until `termijn backfill release`",
        err=True,
    )
    arrived_at = now or utc_now()
    ahead = []
    for event in events:
        try:
            check_arrival(event.time, arrived_at)
        except TaggingFailed as cause:
            ahead.append(f"{event.id}: {cause.key}: {cause.why}")
    if ahead:
        count = f"{len(ahead)} of {len(events)} events are" if len(ahead) > 1 else "it is"
        click.echo(
            f"{ahead[0]}, if that is at {format_instant(arrived_at)}: {count} parked", err=True
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
        "anchor": explained.window.anchor,
        "anchor_at": format_instant(explained.window.anchor_at),
        "anchors": [
            {
                "anchor": anchor.anchor,
                "anchor_at": format_instant(anchor.anchor_at),
                "ends_at": format_instant(anchor.ends_at),
            }
            for anchor in explained.window.anchors
        ],
        "not_before": format_instant(explained.window.not_before),
        "erase_by": format_instant(explained.window.erase_by),
        "due_at": {
            system: format_instant(at) for system, at in sorted(explained.window.due_at.items())
        },
        "state": explained.state,
        **_conditions(explained, policy),
    }


def _conditions(explained: ExplainedHolding, policy: Policy) -> dict[str, Any]:
    """Return the fields for which the rule applies; nothing for a rule without conditions."""
    fields = explained.event.decision_fields
    met = {field: fields[field] for field in conditions(explained.holding.rule, policy.rules)}
    return {"conditions": met} if met else {}


def _with_window(row: dict[str, Any]) -> dict[str, Any]:
    """Add why the rule applies, and anchor and window in one cell, so that the table fits a terminal."""
    window = {
        row["anchor"]: row["anchor_at"],
        "not before": row["not_before"],
        "erase by": row["erase_by"],
    }
    shown = {key: at for key, at in window.items() if at or key == row["anchor"]}
    rule = row["rule"]
    if "conditions" in row:
        met = {field: [value] for field, value in row["conditions"].items()}
        rule = f"{rule}, since {conditions_in_words(met)}"
    return {**row, "rule": rule, "window": shown}


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
