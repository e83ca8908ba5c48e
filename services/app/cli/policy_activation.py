"""`termijn policy activate`: show what a policy changes, and activate it once that is accepted."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from sqlalchemy import Connection

from services.app.cli.options import format_instant, operator_option, reason_option
from services.app.cli.output import say
from services.app.cli.policy_changes import effects_on, show_differences
from services.app.cli.session import open_resources, run_in_transaction
from services.app.wiring.resources import Resources
from services.deleter import activation
from services.ledger import active_policy
from services.ledger.acceptance import (
    NotAccepted,
    acceptance_digest,
    check_accepted,
    differences_from_active,
)
from services.ledger.forecasts import Flow, accept_shown, replace_shown
from services.ledger.policy_references import Drop
from services.ledger.policy_versions import active_version, find_version
from services.ledger.scheduled_policy import (
    NothingScheduled,
    ScheduledPolicy,
    find_scheduled,
    remove_scheduled,
    schedule,
)
from services.policy.model import Policy
from services.storage.database import Database, database_now
from services.storage.operator_log import log_operator_action


def _read_drops(
    _context: click.Context, _parameter: click.Parameter, texts: Sequence[str]
) -> list[Drop]:
    pairs = [text.partition(":") for text in texts]
    for text, (event_type, _, system) in zip(texts, pairs, strict=True):
        if not event_type or not system:
            raise click.BadParameter(f"must be TYPE:SYSTEM, got {text!r}")
    return [Drop(event_type, system) for event_type, _, system in pairs]


@click.command()
@operator_option
@reason_option
@click.option(
    "--accept",
    "accepted",
    metavar="DIGEST",
    help="Accept the differences that were shown, by the digest shown with them.",
)
@click.option(
    "--number",
    type=click.IntRange(1, 2**31 - 1),
    metavar="NUMBER",
    help="Activate a former policy again: that of this number in `termijn policy list`.",
)
@click.option(
    "--drop",
    "drops",
    multiple=True,
    metavar="TYPE:SYSTEM",
    callback=_read_drops,
    help="The system never held the recorded events of this type; once for each that the policy drops.",
)
def activate(
    operator: str, reason: str, accepted: str | None, number: int | None, drops: Sequence[Drop]
) -> None:
    """Make the configured policy the ledger's active one; every window is computed again.

    Without `--accept` it shows what the policy changes, and asks. Off a terminal it then activates nothing,
    and names the digest to accept. Nothing has to be accepted while no event is recorded. If the policy has
    a later day as `effective`, it is scheduled, and becomes active on that day.
    """
    with open_resources() as opened:
        ledger = opened.ledger()
        policy = _chosen_policy(opened, ledger, number)
        if accepted is None:
            accepted = _ask(ledger, policy, drops)

        def work(connection: Connection) -> datetime | None:
            now = database_now(connection)
            check_accepted(connection, policy, drops, accepted)
            at = _later(connection, policy, now)
            if accepted is not None:
                accept_shown(connection, accepted, at or now)
            action, target = "policy activate", f"{policy.policy} {policy.version}"
            target += "".join(f" --drop {drop}" for drop in sorted(drops))
            if at is None:
                activation.activate(connection, policy, now, drops, operator)
            else:
                active_policy.check_activation(connection, policy, drops)
                schedule(connection, policy, at, drops, now, operator=operator, reason=reason)
                action, target = "policy schedule", f"{target} at {format_instant(at)}"
            log_operator_action(
                connection, action, target, operator=operator, reason=reason, now=now
            )
            return at

        at = ledger.run_in_transaction(work)
    name = f"{policy.policy} {policy.version}"
    click.echo(f"scheduled: {name} at {format_instant(at)}" if at else f"active: {name}")


def _later(connection: Connection, policy: Policy, now: datetime) -> datetime | None:
    """Return when the policy becomes active, UTC; None if at once, as the first of a ledger always does."""
    at = policy.effective_at
    if at is None or at <= now or active_version(connection) is None:
        return None
    return at


@click.command("cancel")
@operator_option
@reason_option
def cancel_scheduled(operator: str, reason: str) -> None:
    """Cancel the scheduled policy: it does not become active, and the active one stays."""

    def work(connection: Connection, now: datetime) -> ScheduledPolicy:
        active_policy.lock_alone(connection)
        scheduled = find_scheduled(connection)
        if scheduled is None:
            raise NothingScheduled
        remove_scheduled(connection)
        log_operator_action(
            connection, "policy cancel", str(scheduled), operator=operator, reason=reason, now=now
        )
        return scheduled

    click.echo(f"cancelled: {run_in_transaction(work)}")


def _chosen_policy(opened: Resources, ledger: Database, number: int | None) -> Policy:
    if number is None:
        return opened.policy()
    with ledger.transaction() as connection:
        return find_version(connection, number).load()


def _ask(ledger: Database, policy: Policy, drops: Sequence[Drop]) -> str | None:
    """Show what the policy changes, and return the digest that a person accepts on the terminal.

    Raises:
        NotAccepted: no person does.
    """
    effects: Sequence[Mapping[str, Any]] = ()
    with ledger.engine.connect() as connection:
        active_policy.check_activation(connection, policy, drops)
        digest = acceptance_digest(connection, policy, drops)
        if digest is None:
            return None
        before, changes = differences_from_active(connection, policy)
        if before is None:
            say("the ledger does not have the text of the active policy: it cannot be compared")
        else:
            effects = list(effects_on(connection, before, policy, policy.effective_at))
            show_differences(before, policy, changes, effects, as_json=False)
        connection.rollback()
    _store_shown(ledger, digest, effects)
    if not (sys.stdin.isatty() and click.confirm(f"accept {digest} and activate it?")):
        raise NotAccepted(digest, None)
    return digest


def _store_shown(ledger: Database, digest: str, effects: Sequence[Mapping[str, Any]]) -> None:
    """Store how many holdings were shown to end earlier or at once: who accepts them expects them."""
    ending = {"earlier", "at once", "added"}
    shown: Counter[Flow] = Counter()
    for effect in effects:
        if effect["effect"] in ending:
            shown[Flow(effect["rule"], effect["system"])] += effect["holdings"]

    def store(connection: Connection) -> None:
        now = database_now(connection)
        replace_shown(connection, digest, now.date(), shown, now)

    ledger.run_in_transaction(store)
