"""`termijn policy activate`: show what a policy changes, and activate it once that is accepted."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from sqlalchemy import Connection

from services.app.cli.options import operator_option, reason_option
from services.app.cli.output import say
from services.app.cli.policy_changes import effects_on, show_differences
from services.app.cli.session import open_resources
from services.app.wiring.resources import Resources
from services.deleter import activation
from services.ledger import active_policy
from services.ledger.acceptance import (
    NotAccepted,
    acceptance_digest,
    check_accepted,
    differences_from_active,
)
from services.ledger.policy_references import Drop
from services.ledger.policy_versions import find_version
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
    type=click.IntRange(min=1),
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
    and names the digest to accept. Nothing has to be accepted while no event is recorded.
    """
    with open_resources() as opened:
        ledger = opened.ledger()
        policy = _chosen_policy(opened, ledger, number)
        if accepted is None:
            accepted = _ask(ledger, policy, drops)

        def work(connection: Connection) -> None:
            now = database_now(connection)
            check_accepted(connection, policy, drops, accepted)
            activation.activate(connection, policy, now, drops, operator)
            dropped = "".join(f" --drop {drop}" for drop in sorted(drops))
            target = f"{policy.policy} {policy.version}{dropped}"
            log_operator_action(
                connection, "policy activate", target, operator=operator, reason=reason, now=now
            )

        ledger.run_in_transaction(work)
    click.echo(f"active: {policy.policy} {policy.version}")


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
    with ledger.engine.connect() as connection:
        active_policy.check_activation(connection, policy, drops)
        digest = acceptance_digest(connection, policy, drops)
        if digest is None:
            return None
        before, changes = differences_from_active(connection, policy)
        if before is None:
            say("the ledger does not have the text of the active policy: it cannot be compared")
        else:
            effects = list(effects_on(connection, before, policy))
            show_differences(before, policy, changes, effects, as_json=False)
        connection.rollback()
    if not (sys.stdin.isatty() and click.confirm(f"accept {digest} and activate it?")):
        raise NotAccepted(digest, None)
    return digest
