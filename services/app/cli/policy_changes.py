"""`termijn policy diff`: what another policy changes, in its file and about the holdings in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection

from services.app.cli.options import json_option
from services.app.cli.output import say, say_json
from services.app.cli.session import open_resources
from services.deleter.activation import count_withdrawn
from services.ledger.active_policy import check_structure
from services.ledger.policy_effects import Effect, count_effects
from services.policy.comparison import PolicyChange, compare_policies
from services.policy.loader import load, structure_hashes
from services.policy.model import Policy
from services.storage.database import database_now

_FILE = click.Path(path_type=Path)
_EFFECTS: Mapping[Effect, str] = {
    "earlier": "end earlier",
    "at once": "end at once",
    "later": "end later",
    "open": "end otherwise once their clock ends",
    "by person": "get another term, and have a subject whose privacy events decide too",
    "added": "are held there as well",
    "dropped": "are no longer held there",
    "not counted": "may end otherwise: their end follows from too many dates",
}


@click.command()
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
@click.option("--ledger", "with_ledger", is_flag=True, help="Count the holdings that NEW changes.")
@json_option
def diff(old: Path, new: Path, with_ledger: bool, as_json: bool) -> None:
    """List every difference between the policy files OLD and NEW: entries and keys, with both values.

    With `--ledger` it also counts the recorded holdings that end earlier, later or at once under NEW, and
    the commands that would be cancelled or recalled. Nothing is changed.
    """
    before, after = load(old), load(new)
    changes = compare_policies(before, after)
    effects = list(ledger_effects(before, after)) if with_ledger else []
    show_differences(before, after, changes, effects, as_json=as_json)


def ledger_effects(old: Policy, new: Policy) -> Iterator[dict[str, Any]]:
    """Return what the new policy changes about holdings and commands in the ledger, as JSON values.

    Raises:
        IncompatiblePolicy: it gives events of a known type other subjects or clocks.
    """
    check_structure(structure_hashes(old), new, old)
    with open_resources() as opened:
        ledger = opened.ledger()
        with ledger.engine.connect() as connection:
            yield from effects_on(connection, old, new, new.effective_at)
            connection.rollback()


def effects_on(
    connection: Connection, old: Policy, new: Policy, at: datetime | None = None
) -> Iterator[dict[str, Any]]:
    """Return the same, in a transaction that is open; holdings as of a later instant, if one is given."""
    now = database_now(connection)
    counted_at = max(at, now) if at else now
    for rule, system, effect, holdings in count_effects(connection, old, new, counted_at):
        yield {
            "change": "holdings",
            "rule": rule,
            "system": system,
            "effect": effect,
            "holdings": holdings,
            "what": f"rule {rule} in {system}: holdings that {_EFFECTS[effect]}: {holdings}",
        }
    for system, action, was_sent, commands in count_withdrawn(connection, new, now):
        effect_of_command = "recalled" if was_sent else "cancelled"
        yield {
            "change": "commands",
            "system": system,
            "action": action,
            "effect": effect_of_command,
            "commands": commands,
            "what": f"{system}: {action} commands that are {effect_of_command}: {commands}",
        }


def show_differences(
    old: Policy,
    new: Policy,
    changes: Iterable[PolicyChange],
    effects: Iterable[Mapping[str, Any]],
    *,
    as_json: bool,
) -> None:
    """Print the differences of two policies, then their effects, as JSON or as lines of text."""
    rows = [*(change.as_json() for change in changes), *effects]
    if as_json:
        for row in rows:
            say_json(row)
        return
    say(f"{old.policy} {old.version} -> {new.policy} {new.version}")
    for row in rows:
        say(f"  {row['what']}")
    if not rows:
        say("  no difference")
