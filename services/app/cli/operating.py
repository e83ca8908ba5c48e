"""What an operator asks and does. Every way out of a stop takes a name and a reason, and is on record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar, get_args
from uuid import UUID

import click
from sqlalchemy import Connection, select

from services.app import settings
from services.app.cli.options import format_instant, parse_instant, show
from services.app.wiring import root
from services.deleter import activation, manual_retry, settlement, verification
from services.deleter.claim import claim_due
from services.deleter.forecast import forecast as forecast_backfill
from services.events.dead_letter_replay import headers_again
from services.kafka.client import OutgoingMessage
from services.ledger import backfills, blind_spots, granting, tables
from services.ledger import migrate as schema
from services.ledger.command_state import OUTSTANDING, State
from services.ledger.grants import GRANTS
from services.operations.metrics import PORTS
from services.operations.status import read_status
from services.policy.model import Policy
from services.storage import dead_letters, offsets
from services.storage import pause as control
from services.storage.database import database_now
from services.storage.operator_log import log_operator_action

T = TypeVar("T")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
_REASON = click.option("--reason", required=True, help="Why; it stays on record.")
_OPERATOR = click.option(
    "--operator",
    default=lambda: settings.load().operating.operator,
    help="Who answers for it; TERMIJN_OPERATOR unless given.",
)


class _RolledBack(Exception):
    """Raised inside a transaction that is only to be looked at."""


@contextmanager
def _open_resources() -> Iterator[root.Resources]:
    with root.open_resources(settings.load()) as opened:
        yield opened


def _run_in_transaction(work: Callable[[Connection, datetime], T]) -> T:
    with _open_resources() as opened:
        return opened.ledger().write(lambda connection: work(connection, database_now(connection)))


@click.command()
@_JSON
def status(as_json: bool) -> None:
    """Say all on one screen: what is due, late, refused, parked, missing or stopped, and why."""
    with _open_resources() as opened:
        ledger, policy = opened.ledger(), opened.policy()
        with ledger.transaction() as connection:
            seen = read_status(connection, policy, database_now(connection))
    rows: list[dict[str, Any]] = [
        {"what": "policy", "which": "", "value": seen.policy},
        {"what": "events recorded", "which": "", "value": seen.events},
        {
            "what": "due and not claimed",
            "which": _format_since(seen.oldest_due_at),
            "value": seen.due,
        },
        {
            "what": "past erase_by and not carried out",
            "which": _format_since(min(seen.overdue_by.values(), default=None)),
            "value": seen.overdue,
        },
        {"what": "answered that nothing was held", "which": "", "value": seen.suspicious},
    ]
    for (system, state), count in sorted(seen.commands.items()):
        rows.append({"what": f"commands {state}", "which": system, "value": count})
    for system, count in sorted(seen.escalated.items()):
        rows.append({"what": "commands escalated", "which": system, "value": count})
    for system, count in sorted(seen.undeliverable.items()):
        rows.append({"what": "commands undeliverable", "which": system, "value": count})
    for reason, count in sorted(seen.dead_letters.items()):
        rows.append({"what": "dead letters parked", "which": reason, "value": count})
    for reach, count in sorted(seen.kept_back.items()):
        what = "parked events that keep erasures back"
        rows.append({"what": what, "which": reach, "value": count})
    for gap in seen.gaps:
        place = f"{gap.topic}[{gap.partition}]"
        rows.append({"what": f"gap of the {gap.role}", "which": place, "value": gap.expected})
    for stop in seen.stops:
        who = f"{stop.operator}: {stop.reason}"
        rows.append(
            {
                "what": f"{stop.state} since {format_instant(stop.at)}",
                "which": stop.scope,
                "value": who,
            }
        )
    rows += map(_waiting, seen.backfills)
    if seen.key_conflicts:
        rows.append({"what": "key-conflict", "which": "", "value": seen.key_conflicts})
    for clock, count in sorted(seen.open_too_long.items()):
        if count:
            rows.append({"what": "clocks open too long", "which": clock, "value": count})
    show(
        rows,
        as_json=as_json,
        title=f"At {format_instant(seen.at)}",
        columns=("what", "which", "value"),
    )


def _waiting(one: backfills.PendingBackfill) -> dict[str, Any]:
    """What waits for its release, as a row."""
    if not one.is_history:
        return {"what": "backfill waits", "which": one.backfill, "value": one.records}
    held = one.records + one.clocks  # most ends of clocks make no record
    return {"what": "history waits", "which": one.backfill, "value": held}


@click.command("settings")
@_JSON
def settings_(as_json: bool) -> None:
    """List every setting with its value, where that came from, and what it means."""
    rows = (
        {
            "variable": one.variable,
            "key": one.key,
            "value": one.value,
            "from": one.source,
            "meaning": one.meaning,
        }
        for one in settings.list_settings()
    )
    columns = ("variable", "key", "value", "from", "meaning")
    show(rows, as_json=as_json, title="Settings", columns=columns)


@click.group()
def ledger() -> None:
    """Look after the ledger's schema."""


@ledger.command()
def migrate() -> None:
    """Bring the ledger to this version's schema. Run it before the roles start."""
    with _open_resources() as opened:
        missing = schema.migrate(opened.owned_ledger())
    click.echo("the ledger has this version's schema")
    if missing:
        click.echo(
            "ledger: one login for all roles: this one may not make the roles of the database, got none of"
            f" {', '.join(missing)}; have a superuser run what `termijn ledger grants` prints",
            err=True,
        )


@ledger.command("grants")
def print_grants() -> None:
    """Print the SQL that makes a database role for each of Termijn's roles, for a superuser to run."""
    for role in GRANTS:
        for statement in (granting.creating(role), *granting.giving(role)):
            click.echo(f"{statement};")


@click.command()
@_OPERATOR
@_REASON
def activate(operator: str, reason: str) -> None:
    """Make the policy at hand the ledger's active one: all that is held is looked at again under it."""
    with _open_resources() as opened:
        the_policy = opened.policy()

    def work(connection: Connection, now: datetime) -> None:
        activation.activate(connection, the_policy, now)
        target = f"{the_policy.policy} {the_policy.version}"
        log_operator_action(
            connection, "policy activate", target, operator=operator, reason=reason, now=now
        )

    _run_in_transaction(work)
    click.echo(f"active: {the_policy.policy} {the_policy.version}")


@click.group()
def gaps() -> None:
    """Stretches of the log that a role had not read and that are gone: it stands still until accepted."""


@gaps.command("list")
@_JSON
def list_gaps(as_json: bool) -> None:
    """List the gaps that wait."""
    found = _run_in_transaction(lambda connection, _: offsets.open_gaps(connection))
    rows = (
        {
            "role": gap.role,
            "topic": gap.log.topic,
            "partition": gap.log.partition,
            "expected": gap.expected,
            "low": gap.low,
            "high": gap.high,
        }
        for gap in found
    )
    columns = ("role", "topic", "partition", "expected", "low", "high")
    show(rows, as_json=as_json, title="Gaps", columns=columns)


@gaps.command("accept")
@click.argument("role")
@click.argument("topic")
@click.argument("partition", type=int)
@_OPERATOR
@_REASON
def accept_gap(role: str, topic: str, partition: int, operator: str, reason: str) -> None:
    """Let ROLE go on at the first offset that is left of TOPIC's PARTITION."""
    place = (role, topic, partition)
    at = _run_in_transaction(
        lambda connection, now: offsets.accept_gap(
            connection, place, operator=operator, reason=reason, now=now
        )
    )
    click.echo(f"{role} goes on at offset {at} of {topic}[{partition}]")


@click.group()
def commands() -> None:
    """What the systems were told and have not carried out."""


@commands.command("list")
@click.option("--system", help="Only of this system.")
@click.option(
    "--state",
    "states",
    type=click.Choice(get_args(State)),
    multiple=True,
    help="In this state instead, such as attested: nobody can read again whether it was done.",
)
@_JSON
def list_commands(system: str | None, states: tuple[str, ...], as_json: bool) -> None:
    """List the commands that are open, or in the states that are named, oldest first."""
    column = tables.command.c
    wanted = states or (*OUTSTANDING, "refused")
    query = select(tables.command).where(column.state.in_(wanted)).order_by(column.due_at)
    if system:
        query = query.where(column.system == system)
    found = _run_in_transaction(lambda connection, _: connection.execute(query).all())
    rows = (
        {
            "command": str(row.command_id),
            "system": row.system,
            "action": row.action,
            "state": row.state,
            "attempt": row.attempt,
            "due_at": format_instant(row.due_at),
            "erase_by": format_instant(row.erase_by),
            "next_attempt_at": format_instant(row.next_attempt_at),
            "outcome": row.outcome,
            "escalated_at": format_instant(row.escalated_at),
        }
        for row in found
    )
    columns = (
        "command",
        "system",
        "action",
        "state",
        "attempt",
        "due_at",
        "outcome",
        "escalated_at",
    )
    show(rows, as_json=as_json, title="Commands" if states else "Open commands", columns=columns)


@commands.command("close")
@click.argument("command", type=click.UUID)
@_OPERATOR
@_REASON
def close_command(command: UUID, operator: str, reason: str) -> None:
    """Give COMMAND up: it is not sent again, and the operator answers for what it was for."""

    def work(connection: Connection, now: datetime) -> None:
        settlement.close_command(connection, command, now)
        log_operator_action(
            connection, "commands close", str(command), operator=operator, reason=reason, now=now
        )

    _run_in_transaction(work)
    click.echo(f"closed {command}")


@commands.command("retry")
@click.argument("command", type=click.UUID, required=False)
@click.option("--system", help="All that this system refused, or has not answered to its end.")
@_OPERATOR
@_REASON
def retry_commands(command: UUID | None, system: str | None, operator: str, reason: str) -> None:
    """Tell COMMAND again at once, once its system is mended; a controller's refusal is final."""
    if (command is None) == (system is None):
        raise click.UsageError("name one COMMAND, or say --system SYSTEM")
    with _open_resources() as opened:
        the_policy = opened.policy()

    def work(connection: Connection, now: datetime) -> int:
        if command is not None:
            manual_retry.retry(connection, command, the_policy, now)
        told = manual_retry.retry_all(connection, system, the_policy, now) if system else 1
        target = system or str(command)
        log_operator_action(
            connection, "commands retry", target, operator=operator, reason=reason, now=now
        )
        return told

    told = _run_in_transaction(work)
    click.echo(f"{system}: {told} commands are told again" if system else f"told again: {command}")


@commands.command("repeat")
@click.option("--system", required=True, help="The system that was restored.")
@click.option("--since", type=parse_instant, required=True, help="The time of its backup.")
@_OPERATOR
@_REASON
def repeat_commands(system: str, since: datetime, operator: str, reason: str) -> None:
    """Have a system that was restored from a backup do again what it has done since."""

    def work(connection: Connection, now: datetime) -> int:
        repeated = verification.recommand_since(connection, system, since, now)
        log_operator_action(
            connection, "commands repeat", system, operator=operator, reason=reason, now=now
        )
        return repeated

    click.echo(f"{system}: {_run_in_transaction(work)} commands are repeated")


@click.group("dead-letters")
def dead_letters_() -> None:
    """Messages that could not be processed: parked until they are replayed or discarded."""


@dead_letters_.command("list")
@click.option("--reason", help="Only of this reason.")
@_JSON
def list_dead_letters(reason: str | None, as_json: bool) -> None:
    """List the parked dead letters, oldest first, each with what it keeps back until it is settled:
    everything, what hangs on some kind of clock (`clocks`), or one subject's or clock's (`narrow`)."""
    with _open_resources() as opened:
        the_ledger, policy = opened.ledger(), opened.policy()
        with the_ledger.transaction() as connection:
            found = dead_letters.list_parked(connection, reason=reason)
            keeps = blind_spots.reach_of_each(connection, policy)
    rows = (
        {
            "id": str(letter.dead_letter_id),
            "role": letter.role,
            "reason": letter.reason,
            "detail": letter.detail,
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "at": format_instant(letter.at),
            "keeps_back": keeps.get(letter.dead_letter_id),
        }
        for letter in found
    )
    columns = ("id", "reason", "detail", "topic", "partition", "offset", "at", "keeps_back")
    show(rows, as_json=as_json, title="Parked dead letters", columns=columns)


@dead_letters_.command("replay")
@click.argument("ids", type=click.UUID, nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All that are parked.")
@_OPERATOR
@click.option("--reason", default="replayed", help="Why; it stays on record.")
def replay(ids: tuple[UUID, ...], all_: bool, operator: str, reason: str) -> None:
    """Put the originals back on their topics, as they came; they count as arrived when they first did."""
    _ids_or_all(ids, all_)
    with _open_resources() as opened:
        the_ledger, seal, sender = opened.ledger(), opened.seal(), opened.bus().sender()

        def work(connection: Connection) -> int:
            now = database_now(connection)
            letters = dead_letters.list_parked(connection, ids)
            messages = []
            for letter in letters:
                original = seal.open(letter.sealed, letter.place, letter.key_id)
                messages.append(
                    OutgoingMessage(
                        topic=letter.topic,
                        key=original.key,
                        value=original.value,
                        headers=headers_again(letter, original, seal),
                    )
                )
                dead_letters.close(
                    connection, letter, "replayed", operator=operator, reason=reason, now=now
                )
            sender.send(messages)
            return len(messages)

        click.echo(f"replayed {the_ledger.write(work)}")


@dead_letters_.command("discard")
@click.argument("ids", type=click.UUID, nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All that are parked.")
@_OPERATOR
@_REASON
def discard(ids: tuple[UUID, ...], all_: bool, operator: str, reason: str) -> None:
    """Give dead letters up: what they said is not known to the ledger, and somebody answers for it."""
    _ids_or_all(ids, all_)

    def work(connection: Connection, now: datetime) -> int:
        letters = dead_letters.list_parked(connection, ids)
        for letter in letters:
            dead_letters.close(
                connection, letter, "discarded", operator=operator, reason=reason, now=now
            )
        return len(letters)

    click.echo(f"discarded {_run_in_transaction(work)}")


def _pause_command(name: str, state: control.State, meaning: str) -> click.Command:
    def run(scope: str, operator: str, reason: str) -> None:
        with _open_resources() as opened:
            systems = {f"system:{name}" for name in opened.policy().systems}
        known = systems | ({"deleter"} if state == "drained" else set(PORTS))
        if state != "running" and scope not in known:
            raise click.UsageError(f"{scope!r} is no role or system that can be {state}")
        _run_in_transaction(
            lambda connection, now: control.set_pause_state(
                connection, scope, state, operator=operator, reason=reason, now=now
            )
        )
        click.echo(f"{scope}: {state}")

    command = click.command(name, help=meaning)(_REASON(_OPERATOR(click.argument("scope")(run))))
    return command


pause = _pause_command(
    "pause", "paused", "Stop SCOPE: a role such as deleter, or a system such as system:crm."
)
drain = _pause_command(
    "drain", "drained", "Begin nothing new for SCOPE (deleter, or system:NAME); finish what is out."
)
resume = _pause_command("resume", "running", "Let SCOPE run again.")


@click.command()
@click.option(
    "--dry-run", is_flag=True, required=True, help="Change nothing; there is no other way."
)
@click.option(
    "--now", "at", type=parse_instant, required=True, help="What would be due by this instant."
)
@_JSON
def sweep(dry_run: bool, at: datetime, as_json: bool) -> None:
    """Show which commands the deleter would write by an instant, from the ledger as it is."""
    assert dry_run
    with _open_resources() as opened:
        the_ledger, the_policy = opened.ledger(), opened.policy()
        rows: list[dict[str, Any]] = []
        try:
            with the_ledger.transaction() as connection:
                rows = list(_preview_rows(connection, the_policy, at))
                raise _RolledBack
        except _RolledBack:
            pass
    columns = ("due_at", "system", "subject", "action", "records", "rules", "reason")
    show(rows, as_json=as_json, title=f"Due by {format_instant(at)}", columns=columns)


def _preview_rows(connection: Connection, policy: Policy, at: datetime) -> Iterator[dict[str, Any]]:
    found: list[UUID] = []
    while (claimed := claim_due(connection, policy, at, limit=5_000)).looked_at:
        found.extend(claimed.commands)
    column = tables.command.c
    members = tables.member.c
    for command_id in found:
        row = connection.execute(
            select(tables.command).where(column.command_id == command_id)
        ).one()
        records = connection.execute(
            select(members.record_id).where(members.command_id == command_id)
        )
        yield {
            "due_at": format_instant(row.due_at),
            "system": row.system,
            "subject": row.subject,
            "action": row.action,
            "records": len(records.all()),
            "rules": json.loads(row.rules),
            "reason": row.reason,
        }


@click.command()
@click.argument("backfill")
@_JSON
def forecast(backfill: str, as_json: bool) -> None:
    """Show what would leave at once if BACKFILL were released, per system and rule."""
    show_forecast(backfill, as_json=as_json)


def show_forecast(backfill: str, *, as_json: bool) -> None:
    """Print the forecast of an import."""
    with _open_resources() as opened:
        the_ledger, the_policy = opened.ledger(), opened.policy()
        with the_ledger.transaction() as connection:
            lines = forecast_backfill(connection, backfill, the_policy, database_now(connection))
    rows = (
        {"system": one.system, "rule": one.rule, "action": one.action, "records": one.records}
        for one in lines
    )
    title = f"{backfill}: would leave at once"
    show(rows, as_json=as_json, title=title, columns=("system", "rule", "action", "records"))


@click.command()
@click.argument("backfill")
@_OPERATOR
@click.option("--reason", default="released after its forecast", help="Why; it stays on record.")
def release(backfill: str, operator: str, reason: str) -> None:
    """Let the deleter act on what the import BACKFILL brought."""

    def work(connection: Connection, now: datetime) -> None:
        backfills.release(connection, backfill, operator, now)
        log_operator_action(
            connection, "release", backfill, operator=operator, reason=reason, now=now
        )

    _run_in_transaction(work)
    click.echo(f"released {backfill}")


def _ids_or_all(ids: tuple[UUID, ...], all_: bool) -> None:
    if bool(ids) == all_:
        raise click.UsageError("name dead letters by id, or say --all")


def _format_since(at: datetime | None) -> str:
    return f"since {format_instant(at)}" if at else ""
